import Hummingbird
import Logging
import NIOCore
import TextGeneration

/// What a handler knows of the connection that its request came over.
struct ServerContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    private let channel: any Channel
    /// What the answer's headers say beside its body.
    let report = AnswerReport()
    let record: RequestRecord
    /// Whose key the request shows, where keys are needed.
    var tenant: String?

    init(source: ApplicationRequestContextSource) {
        coreContext = CoreRequestContextStorage(source: source)
        channel = source.channel
        record = RequestRecord()
    }

    /// Ends `streams` when the client goes away, which nothing else would notice before the next write.
    func cancelOnDisconnect(_ streams: [TextStream]) {
        onDisconnect { for stream in streams { stream.cancel() } }
    }

    /// Calls `action` when the client goes away, unless another request comes over the connection before.
    func onDisconnect(_ action: @escaping @Sendable () -> Void) {
        channel.pipeline.handler(type: DisconnectDetector.self).whenSuccess { $0.watch(action) }
    }
}

/// Notices that a client has closed its side of the connection while its answer is still being made.
final class DisconnectDetector: ChannelInboundHandler, RemovableChannelHandler, @unchecked Sendable {
    // Unsafe: used on the channel's event loop only.
    typealias InboundIn = Any
    /// That of the connection's latest request: one is answered at a time.
    private var action: (@Sendable () -> Void)?
    private var isGone = false

    func watch(_ action: @escaping @Sendable () -> Void) {
        self.action = action
        if isGone { cancel() }
    }

    func handlerRemoved(context: ChannelHandlerContext) { cancel() }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed { cancel() }
        context.fireUserInboundEventTriggered(event)
    }

    private func cancel() {
        isGone = true
        action?()
        action = nil
    }
}
