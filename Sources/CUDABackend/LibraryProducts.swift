import CUDARuntime
import Synchronization
import Tensors

/// cuBLASLt's products, of algorithms that add up in one order.
///
/// The library has many algorithms, each fast for some numbers of rows, and says nothing of the order in which one adds
/// up. So for each shape of a weight, when it is first multiplied, all candidates are run on random rows, in batches of all
/// sizes and cut out of them. Those whose results are the same bits are of one class; a class with an algorithm for every
/// size may serve the shape, each size with the fastest. Without one our own kernels do.
final class LibraryProducts: Sendable {
    /// What an order of sums may depend on.
    struct Shape: Hashable {
        let inputs: Int
        let outputs: Int
        let isBfloat16: Bool
    }

    /// The algorithms of a shape, from the least number of rows on.
    struct Choice: Sendable {
        /// Rows up to which an algorithm serves, and what one product takes on average.
        let steps: [(rows: Int, algorithm: CublasLt.Algorithm, milliseconds: Double)]
        /// Classes that were found, and those that have an algorithm for every number of rows.
        let classes: (found: Int, whole: Int)

        func algorithm(rows: Int) -> CublasLt.Algorithm? {
            (steps.first { $0.rows >= rows } ?? steps.last)?.algorithm
        }
    }

    let library: CublasLt
    /// Of earlier starts; nil where none are kept.
    let before: ProductChoices?
    private let choices = Mutex<[Shape: Choice]>([:])

    init(_ library: CublasLt, _ before: ProductChoices?) { (self.library, self.before) = (library, before) }

    func choice(for shape: Shape) -> Choice? { choices.withLock { $0[shape] } }

    func keep(_ choice: Choice, for shape: Shape) { choices.withLock { $0[shape] = choice } }

    /// Numbers of rows that have an algorithm each; the last serves more rows too.
    static let rows = [16, 32, 64, 128, 256, 512, 1024, 2048]
    /// Bytes of results that are compared at most, which bounds the rows of shapes with many outputs.
    static let resultBytes = 256 << 20
    /// Candidates of each number of rows; all are tried for all.
    static let mostCandidates = 6
}

extension CUDABackend {
    /// Computes a product by the library; false where it has no class of algorithms for the weight's shape.
    func multiplyByLibrary(
        _ x: PackedRows, _ part: WeightMatrix.Part, bias: Matrix?, into y: Matrix
    ) -> Bool {
        guard let library, y.rowStride.isMultiple(of: 4), UInt(bitPattern: y.start).isMultiple(of: 16)
        else { return false }
        let shape = LibraryProducts.Shape(
            inputs: x.stride, outputs: part.outputs, isBfloat16: x.element == .bfloat16)
        let choice = library.choice(for: shape) ?? chosen(shape, part.buffer.address, library)
        guard let algorithm = choice.algorithm(rows: x.rows) else { return false }
        let size = shape.size(rows: x.rows, stride: y.rowStride)
        attempt { () throws(CUDAError) in
            try device.makeCurrent()
            try startDirectWork()
            let isTaken = try library.library.multiply(
                x: x.buffer.address, weight: part.buffer.address, into: y.start, size, algorithm)
            // What was verified for more rows and for fewer is taken for these; our own kernels have other bits.
            guard isTaken else { throw .blas(call: "cublasLtMatmul of \(x.rows) rows", code: 15) }
        }
        if let bias {
            launch(
                "add_bias", Extent(y.rows, (y.columns + 255) / 256), Extent(256),
                [.address(y.start), .long(y.rowStride), .address(bias.start), .int(y.columns)])
        }
        return true
    }

    private func chosen(
        _ shape: LibraryProducts.Shape, _ weight: DeviceAddress, _ library: LibraryProducts
    ) -> LibraryProducts.Choice {
        if let known = library.before?.choice(for: shape) {
            library.keep(known, for: shape)
            return known
        }
        let found = attempt { () throws(CUDAError) in
            let search = try AlgorithmSearch(shape, weight, library.library, on: self)
            return try search.choice()
        }
        if let found { library.before?.keep(found, for: shape) }
        let choice = found ?? LibraryProducts.Choice(steps: [], classes: (0, 0))
        library.keep(choice, for: shape)
        return choice
    }

    /// What serves the shapes that were multiplied so far: for measurements.
    public func libraryChoice(
        inputs: Int, outputs: Int
    ) -> (steps: [(rows: Int, algorithm: [UInt64], milliseconds: Double)], found: Int, whole: Int)? {
        let shape = LibraryProducts.Shape(inputs: inputs, outputs: outputs, isBfloat16: true)
        guard let choice = library?.choice(for: shape) else { return nil }
        return (
            choice.steps.map { ($0.rows, $0.algorithm.words, $0.milliseconds) }, choice.classes.found,
            choice.classes.whole
        )
    }
}

extension LibraryProducts.Shape {
    fileprivate func size(rows: Int, stride: Int) -> CublasLt.Size {
        CublasLt.Size(
            rows: rows, inputs: inputs, outputs: outputs, stride: stride,
            element: isBfloat16 ? .bfloat16 : .float16)
    }
}

/// Runs the candidates of a shape.
private final class AlgorithmSearch {
    private let shape: LibraryProducts.Shape
    /// The weight and copies of it, more than the device's own cache holds: a step reads every weight once.
    private let weights: [DeviceAddress]
    private let library: CublasLt
    private let backend: CUDABackend
    private let x, y, hashes: DeviceAddress
    private let rows: [Int]

    init(
        _ shape: LibraryProducts.Shape, _ weight: DeviceAddress, _ library: CublasLt, on backend: CUDABackend
    ) throws(CUDAError) {
        (self.shape, self.library, self.backend) = (shape, library, backend)
        let most = max(LibraryProducts.rows[0], LibraryProducts.resultBytes / (4 * shape.outputs))
        rows = LibraryProducts.rows.filter { $0 <= most }
        // Beside the arena, which shall not grow by what is needed once.
        let last = rows.last ?? 1
        x = try backend.device.allocate(bytes: 2 * last * shape.inputs)
        y = try backend.device.allocate(bytes: 4 * last * shape.outputs)
        hashes = try backend.device.allocate(bytes: 8 * last)
        let bytes = 2 * shape.inputs * shape.outputs
        var weights = [weight]
        try backend.startDirectWork()
        while weights.count < Self.turns, weights.count * bytes < Self.cacheBytes {
            let copy = try backend.device.allocate(bytes: bytes)
            weights.append(copy)
            backend.launch(
                "copy_words", Extent(8 * backend.device.multiprocessors), Extent(512),
                [.address(weight), .address(copy), .long(bytes / 16)])
        }
        self.weights = weights
        let element = shape.isBfloat16 ? ProductElement.bfloat16 : .float16
        backend.launch(
            "fill_random", Extent(8 * backend.device.multiprocessors), Extent(512),
            [
                .address(x), .long(last * shape.inputs), .int(element.code), .float(1), .int(shape.outputs),
            ])
    }

    deinit { for address in [x, y, hashes] + weights.dropFirst() { backend.device.free(address) } }

    /// Products of a measurement.
    private static let turns = 6
    /// More than a device keeps of what it has read.
    private static let cacheBytes = 160 << 20

    /// Algorithms whose results for a row are the same, whichever rows are beside it.
    private struct Class {
        /// Of each row's results.
        var hashes: [UInt64]
        /// By the index in `rows`.
        var best: [Int: (algorithm: CublasLt.Algorithm, milliseconds: Double)] = [:]
    }

    func choice() throws(CUDAError) -> LibraryProducts.Choice {
        var candidates: [CublasLt.Algorithm] = []
        for count in rows {
            let size = shape.size(rows: count, stride: shape.outputs)
            for candidate in try library.candidates(size, most: LibraryProducts.mostCandidates)
            where !candidates.contains(candidate) {
                candidates.append(candidate)
            }
        }
        var classes: [Class] = []
        // The most rows first, so that a class knows every row that it is asked about.
        for index in rows.indices.reversed() {
            for candidate in candidates { try place(candidate, index, in: &classes) }
        }
        let whole = classes.filter { $0.best.count == rows.count }
        // Every number of rows counts alike: times are taken as multiples of the best of all classes.
        let least = rows.indices.map { index in
            whole.compactMap { $0.best[index]?.milliseconds }.min() ?? 0
        }
        func cost(_ one: Class) -> Double {
            rows.indices.reduce(0) { sum, index in
                sum + (one.best[index]?.milliseconds ?? 0) / max(least[index], .leastNormalMagnitude)
            }
        }
        let best = whole.min { cost($0) < cost($1) }
        let steps = rows.indices.compactMap { index in
            best?.best[index].map { (rows[index], $0.algorithm, $0.milliseconds) }
        }
        return LibraryProducts.Choice(steps: steps, classes: (classes.count, whole.count))
    }

    /// Adds a candidate for a number of rows to the class that its results are of, if it is faster than what is there.
    private func place(
        _ candidate: CublasLt.Algorithm, _ index: Int, in classes: inout [Class]
    ) throws(CUDAError) {
        let count = rows[index]
        guard let all = try results(0..<count, candidate) else { return }
        // Again, fewer rows, and from other places on: each row's results must be those.
        let least = (index > 0 ? rows[index - 1] : 0) + 1
        for part in [0..<count, 0..<least, count - least..<count, count / 3..<count] {
            guard try results(part, candidate) == Array(all[part]) else { return }
        }
        let known = classes.firstIndex { $0.hashes.prefix(count).elementsEqual(all) }
        let place = known ?? classes.count
        if known == nil { classes.append(Class(hashes: all)) }
        let milliseconds = try time(count, candidate)
        if let before = classes[place].best[index], before.milliseconds <= milliseconds { return }
        classes[place].best[index] = (candidate, milliseconds)
    }

    private func multiply(
        _ part: Range<Int>, _ candidate: CublasLt.Algorithm, turn: Int = 0
    ) throws(CUDAError) -> Bool {
        try backend.startDirectWork()
        return try library.multiply(
            x: x + 2 * part.lowerBound * shape.inputs, weight: weights[turn % weights.count], into: y,
            shape.size(rows: part.count, stride: shape.outputs), candidate)
    }

    /// Hashes of the results of some rows; nil where the algorithm does not take so many.
    private func results(
        _ part: Range<Int>, _ candidate: CublasLt.Algorithm
    ) throws(CUDAError) -> [UInt64]? {
        guard try multiply(part, candidate) else { return nil }
        backend.launch(
            "hash_rows", Extent(part.count), Extent(256),
            [.address(y), .long(shape.outputs), .address(hashes), .int(shape.outputs)])
        try backend.startDirectWork()
        let bytes = try backend.staging.receive([(hashes, 8 * part.count)])
        return Array(bytes.bindMemory(to: UInt64.self))
    }

    private func time(_ rows: Int, _ candidate: CublasLt.Algorithm) throws(CUDAError) -> Double {
        do {
            return try backend.stream.time {
                for turn in 0..<Self.turns { _ = try multiply(0..<rows, candidate, turn: turn) }
            } / Double(Self.turns)
        } catch let error as CUDAError {
            throw error
        } catch {
            throw .blas(call: "\(error)", code: 1)
        }
    }
}
