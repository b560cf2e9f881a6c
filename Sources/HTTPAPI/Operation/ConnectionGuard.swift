import Foundation
import HTTPTypes
import JSON
import NIOCore
import NIOHTTP1

/// Keeps one connection within its limits: screens requests, gives every phase a deadline, answers what the HTTP
/// parser refuses, frames answers for HTTP/1.0 and HEAD, and keeps quiet streams alive.
///
/// It sits between the HTTP decoder and whatever handles requests, with a `ByteWatch` before the decoder.
final class ConnectionGuard: ChannelDuplexHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    /// What is being received.
    private enum Phase { case nothing, head, body }

    /// A request whose answer is not finished.
    private struct Exchange {
        let isHead: Bool
        let isOld: Bool
        let isOpenAI: Bool
        var isLast: Bool
        var hasHead = false
    }

    private let limits: ConnectionLimits
    private let onRejection: @Sendable (Rejection) -> Void
    private var context: ChannelHandlerContext?
    private var phase = Phase.nothing
    /// In the order in which the requests came: a client may send several before it reads.
    private var exchanges: [Exchange] = []
    /// What is answered once the requests before it are.
    private var rejection: Rejection?
    private var isClosing = false
    private var isQuiescing = false
    private var bodyBytes = 0
    private var lineBytes: Int? = 0
    private var readDeadline: Scheduled<Void>?
    private var writeDeadline: Scheduled<Void>?
    private var keepAlive: Scheduled<Void>?
    private var lastWrite = NIODeadline.now()

    init(_ limits: ConnectionLimits, onRejection: @escaping @Sendable (Rejection) -> Void) {
        (self.limits, self.onRejection) = (limits, onRejection)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        arm(limits.headTimeout) { $0.context?.close(promise: nil) }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        for timer in [readDeadline, writeDeadline, keepAlive] { timer?.cancel() }
        self.context = nil
    }

    // MARK: Receiving

    /// Notes bytes before they are decoded; false if they are to be thrown away.
    fileprivate func received(_ bytes: ByteBuffer) -> Bool {
        guard !isClosing, rejection == nil else { return false }
        if phase == .nothing {
            (phase, lineBytes) = (.head, 0)
            arm(limits.headTimeout) { $0.reject(Rejection(.requestTimeout, "the headers took too long")) }
        }
        if phase == .head, let count = lineBytes {
            let line = bytes.readableBytesView.firstIndex(of: UInt8(ascii: "\n"))
            lineBytes = line == nil ? count + bytes.readableBytes : nil
        }
        return true
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isClosing, rejection == nil else { return }
        switch unwrapInboundIn(data) {
        case .head(let head): receive(head, data, context)
        case .body(let bytes):
            bodyBytes += bytes.readableBytes
            guard bodyBytes <= limits.largestBody else {
                return reject(ConnectionLimits.longBody(limits.largestBody))
            }
            context.fireChannelRead(data)
        case .end:
            phase = .nothing
            readDeadline?.cancel()
            context.fireChannelRead(data)
        }
    }

    private func receive(_ head: HTTPRequestHead, _ data: NIOAny, _ context: ChannelHandlerContext) {
        do throws(Rejection) { try limits.screen(head) } catch { return reject(error) }
        (phase, bodyBytes, lineBytes) = (.body, 0, nil)
        arm(limits.bodyTimeout) { $0.reject(Rejection(.requestTimeout, "the body took too long")) }
        if exchanges.isEmpty, head.version.minor > 0, !head.headers["expect"].isEmpty {
            let go = HTTPResponseHead(version: .http1_1, status: .continue)
            context.writeAndFlush(wrapOutboundOut(.head(go)), promise: nil)
        }
        exchanges.append(
            Exchange(
                isHead: head.method == .HEAD, isOld: head.version.minor == 0,
                isOpenAI: head.uri.hasPrefix("/v1/"), isLast: !head.isKeepAlive || head.version.minor == 0))
        context.fireChannelRead(data)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let error = error as? HTTPParserError else { return context.fireErrorCaught(error) }
        guard error == .headerOverflow else { return reject(Rejection(.badRequest, "not HTTP: \(error)")) }
        let isLine = (lineBytes ?? 0) > limits.largestURL
        reject(
            isLine
                ? ConnectionLimits.longURL(limits.largestURL)
                : Rejection(
                    .requestHeaderFieldsTooLarge,
                    "expected \(limits.headerCount) header fields of \(limits.largestHeaders) bytes together at most"
                ))
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is ChannelShouldQuiesceEvent { isQuiescing = true }
        if isClosing, let event = event as? ChannelEvent, event == .inputClosed {
            return context.close(promise: nil)
        }
        context.fireUserInboundEventTriggered(event)
    }

    // MARK: Refusing

    /// Answers with an error and closes: where the next request would begin is not known.
    private func reject(_ rejection: Rejection) {
        guard !isClosing, self.rejection == nil, let context else { return }
        onRejection(rejection)
        // The request whose body is at fault is the last that came; its handler will not answer any more.
        if phase == .body, let faulty = exchanges.popLast(), faulty.hasHead { return close(context) }
        self.rejection = rejection
        readDeadline?.cancel()
        answerRejection(context)
    }

    private func answerRejection(_ context: ChannelHandlerContext) {
        guard exchanges.isEmpty, !isClosing, let rejection else { return }
        var bytes: [UInt8] = []
        let error = APIError(
            status: .init(code: Int(rejection.status.code)), message: rejection.reason)
        error.body(.openAI).write(to: &bytes)
        let headers: HTTPHeaders = [
            "content-type": "application/json", "content-length": "\(bytes.count)", "connection": "close",
            "x-request-id": UUID().uuidString.lowercased(),
        ]
        let head = HTTPResponseHead(version: .http1_1, status: rejection.status, headers: headers)
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: bytes)))), promise: nil)
        context.write(wrapOutboundOut(.end(nil)), promise: nil)
        close(context)
    }

    /// Sends what is written, then closes. The client gets a moment to read it: a connection that is closed with
    /// unread bytes is reset, and the answer with it.
    private func close(_ context: ChannelHandlerContext) {
        guard !isClosing else { return }
        isClosing = true
        for timer in [readDeadline, keepAlive] { timer?.cancel() }
        context.flush()
        let isSent = context.eventLoop.makePromise(of: Void.self)
        context.close(mode: .output, promise: isSent)
        watchWrites()
        isSent.futureResult.assumeIsolated().whenComplete { [weak self] _ in
            self?.arm(.seconds(1)) { $0.context?.close(promise: nil) }
        }
    }

    // MARK: Answering

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard !isClosing, !exchanges.isEmpty else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        lastWrite = .now()
        switch unwrapOutboundIn(data) {
        case .head(let head): context.write(wrapOutboundOut(.head(framed(head))), promise: promise)
        case .body:
            if exchanges[0].isHead { promise?.succeed() } else { context.write(data, promise: promise) }
        case .end:
            context.write(data, promise: promise)
            finishExchange(context)
        }
    }

    private func framed(_ head: HTTPResponseHead) -> HTTPResponseHead {
        var head = head
        exchanges[0].hasHead = true
        // What is left of the body would be read as the next request.
        if isQuiescing || phase == .body && exchanges.count == 1 { exchanges[0].isLast = true }
        if exchanges[0].isOld { head.version = .http1_0 }
        if exchanges[0].isLast { head.headers.replaceOrAdd(name: "connection", value: "close") }
        if exchanges[0].isHead, !head.headers.contains(name: "content-length") {
            head.headers.add(name: "content-length", value: "0")
        }
        let type = head.headers.first(name: "content-type") ?? ""
        if exchanges[0].isOpenAI, type.hasPrefix("text/event-stream"), let interval = limits.keepAliveInterval
        {
            keepAlive(every: TimeAmount(interval), in: TimeAmount(interval))
        }
        return head
    }

    private func finishExchange(_ context: ChannelHandlerContext) {
        keepAlive?.cancel()
        let exchange = exchanges.removeFirst()
        if exchange.isLast {
            close(context)
        } else if rejection != nil {
            answerRejection(context)
        } else if exchanges.isEmpty, phase == .nothing {
            arm(limits.idleTimeout) { $0.context?.close(promise: nil) }
        }
    }

    /// A comment, which clients skip, so that nothing on the way takes a quiet stream for a dead one.
    private func keepAlive(every interval: TimeAmount, in delay: TimeAmount) {
        guard let context else { return }
        keepAlive = context.eventLoop.assumeIsolated().scheduleTask(in: delay) { [weak self] in
            guard let self, let context = self.context, !isClosing else { return }
            let silence = NIODeadline.now() - lastWrite
            if silence >= interval, context.channel.isWritable {
                let comment = ByteBuffer(string: ": keep-alive\n\n")
                context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(comment))), promise: nil)
                lastWrite = .now()
                keepAlive(every: interval, in: interval)
            } else {
                keepAlive(every: interval, in: max(interval - silence, .milliseconds(10)))
            }
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if !context.channel.isWritable { watchWrites() } else if !isClosing { writeDeadline?.cancel() }
        context.fireChannelWritabilityChanged()
    }

    /// Cuts a client off that does not read, or fewer than a thousand bytes a second.
    private func watchWrites() {
        writeDeadline?.cancel()
        let (before, least) = (pendingBytes, Int(limits.writeTimeout / .milliseconds(1)) + 1)
        writeDeadline = schedule(limits.writeTimeout) {
            if $0.pendingBytes + least <= before { $0.watchWrites() } else { $0.context?.close(promise: nil) }
        }
    }

    /// Bytes that wait to be sent.
    private var pendingBytes: Int {
        (try? context?.channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
    }

    // MARK: Time

    private func arm(_ duration: Duration, _ action: @escaping (ConnectionGuard) -> Void) {
        readDeadline?.cancel()
        readDeadline = schedule(duration, action)
    }

    private func schedule(
        _ duration: Duration, _ action: @escaping (ConnectionGuard) -> Void
    ) -> Scheduled<Void>? {
        context?.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(duration)) { [weak self] in
            if let self { action(self) }
        }
    }
}

/// Tells a guard of bytes before they are decoded, so that it sees a request from its first byte on.
private final class ByteWatch: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    private let connection: ConnectionGuard

    init(_ connection: ConnectionGuard) { self.connection = connection }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if connection.received(unwrapInboundIn(data)) { context.fireChannelRead(data) }
    }
}

/// Puts a guard around the HTTP decoder of the pipeline that it is added to.
final class GuardInstaller: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = Any
    private let connection: ConnectionGuard

    init(_ limits: ConnectionLimits, onRejection: @escaping @Sendable (Rejection) -> Void) {
        connection = ConnectionGuard(limits, onRejection: onRejection)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let pipeline = context.pipeline.syncOperations
        do {
            let decoder = try pipeline.handler(type: ByteToMessageHandler<HTTPRequestDecoder>.self)
            try pipeline.addHandler(ByteWatch(connection), position: .before(decoder))
            try pipeline.addHandler(connection, position: .after(decoder))
            // The system would grow the buffer of a client that does not read to several megabytes.
            let options = context.channel.syncOptions
            try options?.setOption(.socketOption(.so_sndbuf), value: 128 << 10)
        } catch {
            context.fireErrorCaught(error)
            context.close(promise: nil)
        }
    }
}
