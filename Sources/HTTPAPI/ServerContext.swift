import Hummingbird
import Logging
import NIOCore
import TextGeneration

/// What a handler knows of the connection that its request came over.
struct ServerContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    private let channel: any Channel

    init(source: ApplicationRequestContextSource) {
        coreContext = CoreRequestContextStorage(source: source)
        channel = source.channel
    }

    /// Ends `streams` when the client goes away, which nothing else would notice before the next write.
    func cancelOnDisconnect(_ streams: [TextStream]) {
        channel.closeFuture.whenComplete { _ in for stream in streams { stream.cancel() } }
    }
}
