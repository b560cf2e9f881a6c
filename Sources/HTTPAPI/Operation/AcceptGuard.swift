import Foundation
import NIOCore

/// Lets the server go on when the system has no room for another connection: it tries again a little later.
/// Without it the error would end the server.
final class AcceptGuard: ChannelInboundHandler {
    typealias InboundIn = any Channel

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        let passing = [EMFILE, ENFILE, ENOBUFS, ENOMEM, ECONNABORTED]
        guard let error = error as? IOError, passing.contains(error.errnoCode) else {
            return context.fireErrorCaught(error)
        }
        // The connection that waits would be tried again at once, and so on.
        setReading(false, context)
        context.eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(100)) {
            self.setReading(true, context)
        }
    }

    private func setReading(_ isReading: Bool, _ context: ChannelHandlerContext) {
        // Fails only once the channel is closed, when there is nothing to read.
        try? context.channel.syncOptions?.setOption(.autoRead, value: isReading)
    }

    /// Puts a guard before everything else that `channel` has.
    static func install(on channel: any Channel) async throws {
        try await channel.eventLoop.submit {
            try channel.pipeline.syncOperations.addHandler(AcceptGuard(), position: .first)
        }.get()
    }
}

extension ConnectionLimits {
    /// How many connections fit beside what else the process has open, should the system allow fewer files.
    var connectionsThatFit: Int {
        var files = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &files) == 0 else { return connections }
        let most = Int(clamping: files.rlim_cur)
        return min(connections, max(most - max(most / 8, 64), 16))
    }
}
