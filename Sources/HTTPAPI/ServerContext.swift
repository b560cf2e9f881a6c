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
        channel.pipeline.handler(type: DisconnectDetector.self).whenSuccess { detector in
            detector.disconnected?.whenComplete { _ in for stream in streams { stream.cancel() } }
        }
    }
}

/// Notices that a client has closed its side of the connection while its answer is still being made.
final class DisconnectDetector: ChannelInboundHandler, RemovableChannelHandler, @unchecked Sendable {
    // Unsafe: used on the channel's event loop only.
    typealias InboundIn = Any
    private var promise: EventLoopPromise<Void>?

    /// Succeeds when the client is gone; nil outside a pipeline.
    var disconnected: EventLoopFuture<Void>? { promise?.futureResult }

    func handlerAdded(context: ChannelHandlerContext) { promise = context.eventLoop.makePromise() }

    func handlerRemoved(context: ChannelHandlerContext) { promise?.succeed() }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed { promise?.succeed() }
        context.fireUserInboundEventTriggered(event)
    }
}
