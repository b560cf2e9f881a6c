import JSON

/// What the backend is to reach, and what it reached.
struct Bar {
    enum Direction { case atLeast, atMost }

    /// How a bar that is stated for an H200 changes on a device whose memory is as many times as fast.
    enum Scale { case none, rate, time }

    let name: String
    let unit: String
    let direction: Direction
    let scale: Scale
    let measured: Double?
    /// On an H200; nil where what it is made of was not measured.
    let bar: Double?

    /// TB/s that a copy moves on an H200, and that its memory gives at most.
    static let (copy, memory) = (3.98, 4.3)

    static func all(_ findings: Findings) -> [Bar] {
        let (batch, peers) = ("bfloat16 batch 128", findings.numbers("peers", "service", "requests/s"))
        let service = findings.number(.service, "service bfloat16", "requests/s")
        let peer = peers.max()
        func idle(_ section: GPUCheck.Section, _ name: String) -> Double? {
            findings.number(section, name, "idle").map { 100 * $0 }
        }
        return [
            Bar(
                name: "operations that differ", unit: "", direction: .atMost, scale: .none,
                measured: findings.failures([.operations, .small, .experts]), bar: 0),
            Bar(
                name: "recorded models that differ", unit: "", direction: .atMost, scale: .none,
                measured: findings.failures([.goldens]), bar: 0),
            Bar(
                name: "replays that differ", unit: "", direction: .atMost, scale: .none,
                measured: findings.failures([.graphs]), bar: 0),
            Bar(
                name: "attention of answers, 128 of 472, bfloat16", unit: "TB/s", direction: .atLeast,
                scale: .rate,
                measured: findings.number(.attention, "\(batch) context 472 heads 32/32", "GB/s").map {
                    $0 / 1000
                }, bar: 3.4),
            Bar(
                name: "step of 128 sequences of 472", unit: "ms", direction: .atMost, scale: .time,
                measured: findings.number(.step, batch, "ms"),
                bar: findings.number(.step, batch, "GB").map { 1.25 * $0 / memory }),
            Bar(
                name: "idle between steps of 128", unit: "%", direction: .atMost, scale: .none,
                measured: idle(.step, batch), bar: 3),
            Bar(
                name: "idle between steps of the service", unit: "%", direction: .atMost, scale: .none,
                measured: idle(.service, "service bfloat16"), bar: 3),
            Bar(
                name: "service of LLaMA-7B, bfloat16", unit: "requests/s", direction: .atLeast, scale: .rate,
                measured: service, bar: 38),
            Bar(
                name: "service over the better peer", unit: "times", direction: .atLeast, scale: .none,
                measured: service.flatMap { ours in peer.map { ours / $0 } }, bar: 1.5),
            Bar(
                name: "service with int8 over bfloat16", unit: "times", direction: .atLeast, scale: .none,
                measured: findings.number(.service, "int8 over bfloat16", "ratio"), bar: 1.25),
        ]
    }

    /// The bar on a device whose copies move `copy` times as much.
    func bar(scaledBy copy: Double) -> Double? {
        switch scale {
        case .none: bar
        case .rate: bar.map { $0 * copy }
        case .time: bar.map { $0 / copy }
        }
    }

    func isMet(scaledBy copy: Double) -> Bool {
        guard let measured, let bar = bar(scaledBy: copy) else { return false }
        return direction == .atLeast ? measured >= bar : measured <= bar
    }

    /// Records each bar, and whether all are met on this device. What was not measured is not met.
    static func check(_ findings: Findings, _ recorder: Recorder) throws -> Bool {
        let moved = findings.number(.device, "copy", "TB/s")
        let ratio = moved.map { $0 / copy }
        recorder.record(
            "copy", ["TB/s": moved.map { .number($0) } ?? .null, "H200": .number(copy)])
        let bars = all(findings)
        for bar in bars {
            let here = ratio.flatMap { bar.bar(scaledBy: $0) }
            recorder.record(
                bar.name,
                [
                    "measured": bar.measured.map { .number($0) } ?? .string("not measured"),
                    "unit": .string(bar.unit),
                    "bar": .string(bar.direction == .atLeast ? "at least" : "at most"),
                    "H200": bar.bar.map { .number($0) } ?? .null,
                    "met": .bool(bar.isMet(scaledBy: 1)),
                    "here": here.map { .number($0) } ?? .null,
                    "met here": .bool(ratio.map { bar.isMet(scaledBy: $0) } ?? false),
                ])
        }
        return bars.allSatisfy { bar in ratio.map { bar.isMet(scaledBy: $0) } ?? false }
    }
}
