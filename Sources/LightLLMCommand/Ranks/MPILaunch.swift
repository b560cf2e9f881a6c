import ArgumentParser
import Foundation

/// How processes come to be ranks.
enum MPILaunch {
    /// Whether this program can be a rank of MPI's.
    static var isBuilt: Bool {
        #if MPI
            true
        #else
            false
        #endif
    }

    /// How many processes were started with this one, as mpirun and Slurm say; nil when nobody did.
    static func size(_ environment: [String: String]) throws -> Int? {
        // Slurm's own number counts for a step that it starts with PMI or PMIx; a shell in an allocation has one too.
        let startedBySlurm =
            environment["PMI_RANK"] != nil || environment["PMI2_FD"] != nil || environment["PMIX_RANK"] != nil
        for name in ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"] + (startedBySlurm ? ["SLURM_STEP_NUM_TASKS"] : []) {
            guard let value = environment[name] else { continue }
            guard let size = Int(value), size > 0 else {
                throw ValidationError("\(name) is '\(value)', expected a number")
            }
            return size
        }
        return nil
    }

    /// What mpirun is to be called with, for `ranks` processes like this one on this machine.
    static func arguments(ranks: Int, program: String, _ arguments: [String], isRoot: Bool) -> [String] {
        ["mpirun", "-np", "\(ranks)", "--bind-to", "none", "--oversubscribe"]
            // So long mpirun waits before it kills whom it has asked to end, also when all have.
            + ["--mca", "odls_base_sigkill_timeout", "3"] + (isRoot ? ["--allow-run-as-root"] : [])
            + [program] + arguments
    }

    /// Becomes mpirun. Returns only to say why that cannot be.
    static func replaceThisProcess(ranks: Int) throws -> Never {
        let words = arguments(
            ranks: ranks, program: program, Array(CommandLine.arguments.dropFirst()), isRoot: geteuid() == 0)
        var pointers = words.map { strdup($0) } + [nil]
        execvp("mpirun", &pointers)
        throw ValidationError(
            "--tp \(ranks): mpirun cannot be started: \(String(cString: strerror(errno))); install Open MPI "
                + "(Debian's openmpi-bin)")
    }

    /// The file of this program.
    static var program: String {
        (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
            ?? CommandLine.arguments[0]
    }
}
