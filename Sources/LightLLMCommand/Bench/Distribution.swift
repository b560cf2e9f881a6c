import Foundation
import JSON

/// Measured values, to be summarised.
struct Distribution: Sendable {
    private let sorted: [Double]

    init(_ values: [Double]) { sorted = values.sorted() }

    var minimum: Double? { sorted.first }
    var maximum: Double? { sorted.last }

    var mean: Double? { sorted.isEmpty ? nil : sorted.reduce(0, +) / Double(sorted.count) }

    /// The value that `percent` of the values lie below, interpolated between neighbours; nil without values.
    func percentile(_ percent: Double) -> Double? {
        guard !sorted.isEmpty else { return nil }
        let position = Double(sorted.count - 1) * percent / 100
        let (low, high) = (Int(position.rounded(.down)), Int(position.rounded(.up)))
        return sorted[low] + (sorted[high] - sorted[low]) * (position - Double(low))
    }
}

extension JSONValue {
    /// The number to three places after the point; null for none.
    init(rounding value: Double?) { self = value.map { .number(($0 * 1000).rounded() / 1000) } ?? .null }
}

/// A number with so many places after the point; a dash for none.
func formatted(_ value: Double?, _ places: Int) -> String {
    value.map { String(format: "%.\(places)f", $0) } ?? "-"
}

/// Cells of a table, each flush right in its column.
func tableRow(_ cells: [String], widths: [Int]) -> String {
    zip(cells, widths).map { cell, width in
        String(repeating: " ", count: max(0, width - cell.count)) + cell
    }.joined(separator: " ")
}
