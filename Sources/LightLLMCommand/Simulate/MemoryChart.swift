/// Memory over time as a drawing: for each stretch of steps the least and the most slots in use, against capacity.
struct MemoryChart {
    let svg: String

    init(_ simulation: Simulation, title: String) {
        let (width, height, margin) = (960, 320, 48)
        let (plotWidth, plotHeight) = (width - 2 * margin, height - 2 * margin)
        let count = max(simulation.use.count, 1)
        // A little room above capacity.
        func y(_ slots: Int) -> Double {
            Double(margin) + Double(plotHeight) * (1 - Double(slots) / (1.05 * Double(simulation.slots)))
        }
        func x(_ step: Int) -> Double { Double(margin) + Double(plotWidth) * Double(step) / Double(count) }
        var (upper, lower): ([String], [String]) = ([], [])
        for column in 0..<min(plotWidth, count) {
            let (first, end) = (
                column * count / min(plotWidth, count), (column + 1) * count / min(plotWidth, count)
            )
            let stretch = simulation.use[first..<end]
            upper.append("\(x(first)),\(y(stretch.max() ?? 0))")
            lower.append("\(x(first)),\(y(stretch.min() ?? 0))")
        }
        let points = (upper + lower.reversed()).joined(separator: " ")
        let (left, right, base) = (margin, width - margin, height - margin)
        svg = """
            <svg xmlns="http://www.w3.org/2000/svg" width="\(width)" height="\(height)" font-family="sans-serif" \
            font-size="12">
            <rect width="100%" height="100%" fill="white"/>
            <text x="\(left)" y="24" font-size="15">\(title)</text>
            <polygon points="\(points)" fill="#4078c0" stroke="#4078c0"/>
            <path d="M\(left) \(y(simulation.slots))H\(right)" stroke="#c04040" stroke-dasharray="4"/>
            <text x="\(right)" y="\(y(simulation.slots) - 4)" text-anchor="end">\(simulation.slots) slots</text>
            <path d="M\(x(simulation.steps)) \(margin)V\(base)" stroke="gray" stroke-dasharray="2"/>
            <text x="\(x(simulation.steps))" y="\(base + 28)" text-anchor="end">nobody waits after step \
            \(simulation.steps)</text>
            <path d="M\(left) \(margin)V\(base)H\(right)" fill="none" stroke="black"/>
            <text x="\(right)" y="\(base + 14)" text-anchor="end">step \(simulation.use.count)</text>
            </svg>

            """
    }
}
