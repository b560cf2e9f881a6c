import Foundation

/// A line on standard error that fills up, where that is a terminal.
struct ProgressBar {
    private let total: Int
    private var done = 0
    private let start = ContinuousClock.now
    private let isShown = isatty(STDERR_FILENO) != 0
    private static let width = 40

    init(total: Int) {
        self.total = total
        draw()
    }

    mutating func advance() {
        done += 1
        draw()
    }

    /// Clears the line.
    func finish() { write("\r\u{1B}[K") }

    private func draw() {
        let filled = done * Self.width / total
        let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: Self.width - filled)
        write("\r\(bar) \(done)/\(total)  \(formatted((ContinuousClock.now - start) / .seconds(1), 0)) s")
    }

    private func write(_ text: String) {
        if isShown { FileHandle.standardError.write(Data(text.utf8)) }
    }
}
