import Foundation
import Hub
import Synchronization

/// Says on standard error how a pull goes on.
final class PullReport: Sendable {
    private let name: RepositoryName
    private let bar = Mutex<ProgressBar?>(nil)

    init(_ name: RepositoryName) { self.name = name }

    func note(_ event: PullEvent) {
        switch event {
        case .planned(let files, let bytes, let present):
            guard present < bytes else { return }
            say(
                "\(name): \(files) files, \(megabytes(bytes)) MB, of which \(megabytes(present)) MB are there"
            )
            bar.withLock { $0 = ProgressBar(total: bytes, done: present, unit: .bytes) }
        case .received(let count): bar.withLock { $0?.advance(by: count) }
        case .waiting(let file): say("waiting for another process that fetches \(file)")
        case .retrying(let reason, let pause):
            say("\(reason); again in \(formatted(pause / .seconds(1), 1)) s")
        case .leftOut(let programs):
            say("\(name): left out \(programs.joined(separator: ", ")): no code of a model ever runs")
        case .usesCache(let reason): say("\(reason); the cache's copy is used")
        }
    }

    /// Clears the bar.
    func finish() {
        bar.withLock {
            $0?.finish()
            $0 = nil
        }
    }

    private func say(_ line: String) {
        bar.withLock {
            $0?.finish()
            write(line + "\n", to: .standardError)
        }
    }

    private func megabytes(_ bytes: Int) -> String {
        formatted(Double(bytes) / 1e6, bytes < 10_000_000 ? 1 : 0)
    }
}
