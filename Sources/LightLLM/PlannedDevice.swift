import CPUBackend
import CUDABackend
import CUDARuntime
import Tensors

/// A backend that knows what memory it takes.
protocol MeasuredBackend: Backend {
    var weightsInUse: Int { get }
    var activationsInUse: Int { get }
}

extension CPUBackend: MeasuredBackend {
    var weightsInUse: Int { memoryUse.weights }
    var activationsInUse: Int { memoryUse.activations }
}

extension CUDABackend: MeasuredBackend {
    var weightsInUse: Int { memoryUse.weights }
    var activationsInUse: Int { memoryUse.activations }
}

extension DeviceChoice {
    /// Whether a model would be loaded onto a GPU.
    var isGPU: Bool {
        switch self {
        case .cpu: false
        case .cuda: true
        case .auto: (try? Driver.findsDevice()) ?? true
        }
    }

    /// A backend that computes nothing and takes no memory, but says how much it would.
    func idleBackend(threads: Int?) throws -> any MeasuredBackend {
        isGPU ? try CUDABackend.idle() : CPUBackend(threads: threads, kernels: .idle)
    }

    /// What a plan may share out: the memory that is free, and what this process takes of it beside.
    var memory: (available: Int?, program: Int) {
        guard isGPU else { return (MachineMemory.available, MachineMemory.ofProcess ?? 0) }
        return (try? Device(Driver()).memory().free, 0)
    }
}
