import CUDARuntime
public import Tensors

extension CUDABackend {
    public func makeCache(
        _ layout: CacheLayout, slots: Int, element: CacheElement
    ) throws(CacheMemoryError) -> any KeyValueCache {
        try DeviceCache(layout: layout, slots: slots, element: element, on: device)
    }

    public func attend(
        _ q: Matrix, _ k: Matrix, _ v: Matrix, _ shape: AttentionShape, in pass: ForwardPass, layer: Int,
        into y: Matrix
    ) {
        attend(q, k, v, rotation: nil, shape, in: pass, layer: layer, into: y)
    }

    public func attend(
        _ q: Matrix, _ k: Matrix, _ v: Matrix, rotatedBy table: RotationTable, _ shape: AttentionShape,
        in pass: ForwardPass, layer: Int, into y: Matrix
    ) {
        attend(q, k, v, rotation: table, shape, in: pass, layer: layer, into: y)
    }

    private func attend(
        _ q: Matrix, _ k: Matrix, _ v: Matrix, rotation: RotationTable?, _ shape: AttentionShape,
        in pass: ForwardPass, layer: Int, into y: Matrix
    ) {
        guard shape.isEven else {
            return attendEvened(q, shape, into: y) {
                attend($0, k, v, rotation: rotation, $1, in: pass, layer: layer, into: $2)
            }
        }
        guard let cache = pass.cache as? DeviceCache else {
            preconditionFailure("a cache of another backend")
        }
        precondition(shape.valueWidth <= 512, "values of \(shape.valueWidth) columns")
        let chosen = AttentionKernels(shape, cache, on: device)
        let plan = pass.plan(for: shape) { AttentionPlan(shape, pass, chosen, on: self) }
        store(q, k, v, rotation, shape, plan, cache, layer)
        let states =
            plan.stateCount > 0
            ? buffer(bytes: 4 * plan.stateCount * shape.queryHeads * (shape.valueWidth + 2)) : nil
        _ = target(y)
        // Products read whole tiles, so a copy with columns beside those of the heads would need zeros there.
        let packed = y.columns.isMultiple(of: 64) ? packedCopy(of: y) : nil
        let arguments = arguments(q, shape, plan, cache, layer, states, into: y, packed)
        for group in plan.groups { attend(group, shape, chosen, cache.element, arguments) }
        guard let joints = plan.joints, let states else { return }
        let target: [KernelArgument] = [
            .address(joints.address), .address(states.address), .address(y.start), .long(y.rowStride),
        ]
        launch(
            "merge_states", Extent(plan.jointCount, shape.queryHeads), Extent(128),
            target + packedArguments(packed) + [.int(shape.queryHeads), .int(shape.valueWidth)])
    }

    /// `arguments` are those of `attend` but for the tasks.
    private func attend(
        _ group: AttentionPlan.Group, _ shape: AttentionShape, _ chosen: AttentionKernels,
        _ element: CacheElement, _ arguments: [KernelArgument]
    ) {
        var arguments = arguments
        arguments[7] = .address(group.tasks.address)
        let kernel: Kernel?, threads: Int, shared: Int
        switch chosen {
        case .plain:
            return launch(
                "attend_\(element.kernel)",
                Extent(group.count, (group.mostQueries + 3) / 4, shape.keyValueHeads), Extent(128), arguments)
        case .tiles:
            let tile = TileKernel(element: element, warps: group.queries / 16)
            kernel = attempt { () throws(CUDAError) in try kernels.tiles(tile, for: shape) }
            (threads, shared) = (32 * tile.warps, tile.sharedBytes(width: shape.keyWidth))
        case .latent:
            let latent = LatentKernel(element: element, queries: group.queries)
            kernel = attempt { () throws(CUDAError) in try kernels.latent(latent, for: shape) }
            (threads, shared) = (LatentKernel.threads, latent.sharedBytes(width: shape.keyWidth))
        }
        guard let kernel else { return }
        // A grid has at most 65535 blocks in its second dimension.
        for first in stride(from: 0, to: group.count, by: 65_535) {
            arguments[7] = .address(group.tasks.address + first * MemoryLayout<AttentionTask>.stride)
            launch(
                kernel, Extent(shape.keyValueHeads, min(65_535, group.count - first)), Extent(threads),
                shared: shared, arguments)
        }
    }

    /// Rotates q and k and stores k and v at their slots.
    private func store(
        _ q: Matrix, _ k: Matrix, _ v: Matrix, _ table: RotationTable?, _ shape: AttentionShape,
        _ plan: AttentionPlan, _ cache: DeviceCache, _ layer: Int
    ) {
        let (keys, values) = (cache.keys(layer), cache.values(layer))
        let heads = shape.queryHeads + 2 * shape.keyValueHeads
        let rotation = table?.rotation
        launch(
            "rotate_store_\(cache.element.kernel)", Extent(k.rows, (heads + 3) / 4), Extent(128),
            [
                .address(target(q)), .long(q.rowStride), .address(target(k)), .long(k.rowStride),
                .address(v.start), .long(v.rowStride), .address(plan.newSlots.address),
                .address(keys.numbers),
                .address(values.numbers), .address(keys.scales), .address(values.scales),
                .address(table?.cosines.start), .address(table?.sines.start),
                .long(table?.cosines.rowStride ?? 0), .int(shape.queryHeads), .int(shape.keyValueHeads),
                .int(shape.keyWidth), .int(shape.valueWidth), .int(rotation?.columns.lowerBound ?? 0),
                .int(rotation?.pairs ?? 0), .int(rotation?.pairing == .neighbours ? 1 : 0),
                .int(cache.element == .int8 ? 1 : 0),
            ])
    }

    /// As ATTENTION_PARAMETERS lists them; the eighth, the tasks, is that of the group.
    private func arguments(
        _ q: Matrix, _ shape: AttentionShape, _ plan: AttentionPlan, _ cache: DeviceCache, _ layer: Int,
        _ states: DeviceBuffer?, into y: Matrix, _ packed: PackedRows?
    ) -> [KernelArgument] {
        let (keys, values) = (cache.keys(layer), cache.values(layer))
        let pattern = shape.reach.pattern
        return [
            .address(q.start), .long(q.rowStride), .address(keys.numbers), .address(values.numbers),
            .address(keys.scales), .address(values.scales), .address(plan.slots.address), .address(nil),
            .address(y.start), .long(y.rowStride), .address(packed?.buffer.address),
            .long(packed?.stride ?? 0),
            .address(states?.address), .int(packed?.element.code ?? 0), .int(shape.queryHeads),
            .int(shape.keyValueHeads), .int(shape.keyWidth), .int(shape.valueWidth),
            .int(min(shape.reach.width ?? Int(Int32.max), Int(Int32.max))), .float(shape.scale),
            .float(shape.softcap ?? 0), .address(plan.slopes?.address), .int(pattern?.positions ?? 0),
            .int(pattern?.near ?? 0), .int(pattern?.stride ?? 1), .int(pattern?.headStep ?? 0),
            .int((pattern?.firstHead ?? 0) * (pattern?.headStep ?? 0)),
            .int(shape.reach.isCausal ? 1 : 0), .int(values.width),
        ]
    }
}
