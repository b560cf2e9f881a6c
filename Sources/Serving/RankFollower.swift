public import Layers
public import Ranks
public import Tensors

/// Another rank than the one that schedules: computes its part of every step that it is told.
public struct RankFollower {
    private let model: any LanguageModel
    private let backend: any Backend
    private let group: RankGroup
    private let cache: any KeyValueCache

    /// Allocates the cache.
    public init(
        model: any LanguageModel, backend: any Backend, group: RankGroup, slots: Int, element: CacheElement
    ) throws(CacheMemoryError) {
        (self.model, self.backend, self.group) = (model, backend, group)
        cache = try backend.makeCache(model.cacheLayout, slots: slots, element: element)
    }

    /// Runs steps until rank 0 ends the group. Throws what failed when it ends otherwise.
    public func run() throws(GroupFailure) {
        let limits = StepMessage.Limits(
            vocabulary: model.vocabularySize, slots: cache.slots,
            positions: model.longestSequence ?? Int(Int32.max), axes: model.positionAxes,
            featureWidth: model.featureWidth)
        while let message = group.channel.receive(from: 0) {
            do throws(StepMessageError) {
                let pass = try StepMessage.decode(message, limits, cache: cache, backend: backend)
                _ = backend.perform(pass) { model(pass) }
                group.communicator.settle()
            } catch {
                group.health.fail(.misunderstood(rank: 0, "\(error)"))
            }
            if let failure = backend.failure { group.health.fail(.exchange("\(failure)")) }
            if let failure = group.health.failure { throw failure }
        }
        if let failure = group.health.failure { throw failure }
    }
}
