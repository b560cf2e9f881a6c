import Foundation

/// A line on standard error that fills up, where that is a terminal.
struct ProgressBar {
    enum Unit { case items, bytes }

    private let total: Int
    private let unit: Unit
    private let alreadyDone: Int
    private var done: Int
    private let start = ContinuousClock.now
    private var drawn = ContinuousClock.now - .seconds(1)
    private let isShown = isatty(STDERR_FILENO) != 0
    private static let width = 40

    init(total: Int, done: Int = 0, unit: Unit = .items) {
        (self.total, self.done, alreadyDone, self.unit) = (total, done, done, unit)
        draw()
    }

    mutating func advance(by count: Int = 1) {
        done += count
        // Bytes come many times more often than anybody can see.
        let now = ContinuousClock.now
        guard unit == .items || done >= total || now - drawn > .milliseconds(100) else { return }
        drawn = now
        draw()
    }

    /// Clears the line.
    func finish() { write("\r\u{1B}[K") }

    private func draw() {
        let filled = max(0, min(Self.width, Int(Double(done) / Double(max(total, 1)) * Double(Self.width))))
        let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: Self.width - filled)
        write("\r\(bar) \(figures)\u{1B}[K")
    }

    private var figures: String {
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        switch unit {
        case .items: return "\(done)/\(total)  \(formatted(seconds, 0)) s"
        case .bytes:
            let rate = seconds > 0 ? Double(done - alreadyDone) / seconds : 0
            // The first moments foretell nothing.
            let left = rate > 0 && seconds > 1 ? Double(total - done) / rate : nil
            return "\(formatted(Double(done) / 1e6, 0))/\(formatted(Double(total) / 1e6, 0)) MB  "
                + "\(formatted(rate / 1e6, 1)) MB/s  \(formatted(left, 0)) s left"
        }
    }

    private func write(_ text: String) {
        if isShown { FileHandle.standardError.write(Data(text.utf8)) }
    }
}
