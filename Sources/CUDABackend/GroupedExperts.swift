import CUDARuntime
import Tensors

/// The weights of a mixture's experts, where a kernel that multiplies with all of them finds each.
struct GroupedExperts: Sendable {
    let gateUp: WeightTable
    let down: WeightTable

    init(_ experts: [ExpertWeights.Expert], on backend: CUDABackend) {
        gateUp = WeightTable(experts.map(\.gateUp), on: backend)
        down = WeightTable(experts.map(\.down), on: backend)
    }
}

/// Rows sorted by the experts that compute them; a row is there once for each that it has chosen.
struct RoutedRows {
    let rows: Int
    let rule: RoutingRule
    let experts: Int
    /// By choice: its weight, and its place among the sorted. A row's choices are side by side.
    let weights: DeviceBuffer
    let places: DeviceBuffer
    /// By place: the row.
    let sources: DeviceBuffer
    /// The first place of each expert, and the end.
    let starts: DeviceBuffer

    var choices: Int { rows * rule.chosen }
    /// Experts that can have rows, and how many each then has on average.
    var busyExperts: Int { min(experts, choices) }
    var rowsEach: Int { (choices + busyExperts - 1) / busyExperts }

    /// The most tiles of `rows` rows that it takes, however the rows are shared out.
    func tiles(of rows: Int) -> Int { busyExperts + (choices - busyExperts) / rows }
}
