public import CUDABackend
public import Layers
public import Scheduling
public import Serving
public import Tensors

/// How much an engine may hold and run at once. Nil means: decide from the model and the machine.
public struct EngineOptions: Sendable {
    /// Token slots of the key/value cache.
    public var maxTotalTokens: Int?
    /// The part of the memory that is free at start which weights, cache and activations may take.
    public var memoryFraction = 0.9
    /// The most tokens of one request, prompt and answer.
    public var maxRequestTokens: Int?
    public var limits = SchedulerLimits()
    /// Decides how many requests run at the same time.
    public var policy: any AdmissionPolicy = GuaranteedPolicy()
    /// Whether what was computed of a prompt is kept for requests that begin alike.
    public var sharesPrefixes = true
    /// How the cache stores numbers: by default as float32 when the weights are, else as float16.
    public var cacheElement: CacheElement?
    /// How images are looked at; nil for a model that only reads.
    public var images: ImageOptions?
    public var device = DeviceChoice.auto
    /// Which steps a GPU replays as graphs; nil for none.
    public var graphs: GraphLimits? = GraphLimits()
    /// How projections are stored; by default as the checkpoint has them.
    public var weightFormat: WeightFormat?
    /// Whether the model is loaded with its head; one without gives embeddings.
    public var head = ModelHead.ofCheckpoint
    /// Threads of the CPU backend; by default one per processor.
    public var threads: Int?
    /// Which part of the weights is counted; engines take that of their group.
    public var shard = Shard.whole
    /// Where the engine writes what it spends its time on; by default nowhere.
    public var trace: StepTrace?

    public init() {}
}
