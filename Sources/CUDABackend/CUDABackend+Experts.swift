import CUDARuntime
public import Tensors

extension CUDABackend {
    public func prepare(_ experts: [ExpertWeights.Expert]) -> (any Sendable)? {
        GroupedExperts(experts, on: self)
    }

    /// The device chooses experts and sorts rows by them; one product then serves all experts, whose tiles it finds by a
    /// table. Nothing comes to the host, and the memory that is needed depends on the number of rows alone.
    public func mixExperts(
        _ x: Matrix, scores: Matrix, _ rule: RoutingRule, _ experts: ExpertWeights, into y: Matrix
    ) {
        precondition(scores.columns == experts.experts.count && x.rows == scores.rows, "scores of experts")
        guard let grouped = experts.prepared as? GroupedExperts else {
            preconditionFailure("experts of another backend")
        }
        _ = target(y)
        let together = Self.rowsTogether(rule, experts)
        for first in stride(from: 0, to: x.rows, by: together) {
            let rows = first..<min(first + together, x.rows)
            let isAll = rows.count == x.rows
            mix(
                isAll ? x : x.rows(rows), route(scores.rows(rows), rule), grouped, experts,
                into: isAll ? y : y.rows(rows))
        }
    }

    /// Rows whose results between two products take about 256 MB. It does not show in results.
    private static func rowsTogether(_ rule: RoutingRule, _ experts: ExpertWeights) -> Int {
        let columns =
            experts.experts.first.map { $0.gateUp.outputs + 2 * $0.down.inputs + $0.down.outputs } ?? 1
        return max(1, (256 << 20) / max(4 * columns * rule.chosen, 1))
    }

    private func mix(
        _ x: Matrix, _ routed: RoutedRows, _ grouped: GroupedExperts, _ experts: ExpertWeights,
        into y: Matrix
    ) {
        let expert = experts.experts[0]
        var tiles: [Int: DeviceBuffer] = [:]
        let both = makeMatrix(rows: routed.choices, columns: expert.gateUp.outputs)
        multiply(x, routed.sources, grouped.gateUp, routed, &tiles, into: both)
        let inner = makeMatrix(rows: routed.choices, columns: expert.down.inputs)
        let parts = both.split(inner.columns, inner.columns)
        gated(parts[0], parts[1], experts.activation, into: inner)
        let results = makeMatrix(rows: routed.choices, columns: y.columns)
        multiply(inner, nil, grouped.down, routed, &tiles, into: results)
        launch(
            "mix_rows", Extent(y.rows, min((y.columns + 255) / 256, 64)), Extent(256),
            [
                .address(results.start), .long(results.rowStride), .address(routed.places.address),
                .address(routed.weights.address), .int(routed.rule.chosen), .address(y.start),
                .long(y.rowStride), .int(y.columns),
            ])
    }

    private func route(_ scores: Matrix, _ rule: RoutingRule) -> RoutedRows {
        let (rows, experts) = (scores.rows, scores.columns), count = rows * rule.chosen
        let choices = buffer(bytes: 4 * count)
        let routed = RoutedRows(
            rows: rows, rule: rule, experts: experts, weights: buffer(bytes: 4 * count),
            places: buffer(bytes: 4 * count), sources: buffer(bytes: 4 * count),
            starts: buffer(bytes: 4 * (experts + 1)))
        let groups = rule.groups
        launch(
            "route_rows", Extent(rows), Extent(32),
            shared: 4 * (experts + (groups?.count ?? 0) + 2 * rule.chosen),
            [
                .address(scores.start), .long(scores.rowStride), .address(choices.address),
                .address(routed.weights.address), .int(experts), .int(rule.chosen),
                .int(groups?.count ?? 0), .int(groups?.kept ?? 0), .int(rule.normalizes ? 1 : 0),
                .float(rule.scale),
            ])
        launch(
            "sort_choices", Extent(experts), Extent(256),
            [
                .address(choices.address), .int(count), .int(rule.chosen), .address(routed.starts.address),
                .address(routed.sources.address), .address(routed.places.address),
            ])
        return routed
    }

    /// Multiplies sorted rows with the weights of their experts: those of `x` that `sources` names, or those of `x`
    /// itself, which are sorted.
    private func multiply(
        _ x: Matrix, _ sources: DeviceBuffer?, _ weights: WeightTable, _ routed: RoutedRows,
        _ tiles: inout [Int: DeviceBuffer], into y: Matrix
    ) {
        for part in weights.parts {
            let element = ProductElement(part.encoding), layout = BlockLayout(part.encoding)
            let outputs = y.columns(part.outputs)
            // As many rows as an expert has on average.
            let kernel = kernel(.experts, part, rows: routed.rowsEach, count: routed.busyExperts)
            guard let kernel else { return }
            let table = tiles[kernel.rows] ?? cutTiles(of: kernel.rows, routed)
            tiles[kernel.rows] = table
            let rows = element == .float32 ? nil : packed(x, element)
            let inputs = element.padded(x.columns)
            var arguments: [KernelArgument] = [
                .address(rows?.buffer.address ?? x.start), .address(sources?.address),
                .long(rows?.stride ?? x.rowStride), .address(table.address),
                .address(part.addresses.address),
            ]
            if element == .float32 { arguments.append(.long(inputs)) }
            arguments += [.address(outputs.start), .long(outputs.rowStride), .int(outputs.columns)]
            arguments.append(.int(element == .float32 ? x.columns : inputs / 64))
            if let layout {
                arguments.append(.long(layout.recordBytes(outputs: outputs.columns, inputs: x.columns)))
            }
            launch(
                kernel.kernel,
                Extent(
                    routed.tiles(of: kernel.rows), (outputs.columns + kernel.columns - 1) / kernel.columns),
                Extent(kernel.threads), shared: kernel.shared, arguments)
        }
    }

    private func cutTiles(of rows: Int, _ routed: RoutedRows) -> DeviceBuffer {
        let count = routed.tiles(of: rows), tiles = buffer(bytes: 16 * count)
        launch(
            "cut_tiles", Extent(routed.experts), Extent(32),
            [.address(routed.starts.address), .int(rows), .address(tiles.address), .int(count)])
        return tiles
    }
}
