import Foundation

/// What the system says about memory. Nil where it says nothing.
enum MachineMemory {
    /// Bytes that could be had without swapping, and without passing the limit of a control group.
    static var available: Int? {
        let machine = field("MemAvailable:", of: "/proc/meminfo")
        return [machine, roomInControlGroup].compactMap { $0 }.min()
    }

    /// Bytes of this process that are in memory and belong to no file.
    static var ofProcess: Int? { field("RssAnon:", of: "/proc/self/status") }

    /// The value, in kilobytes, that follows `name` in a file of such lines.
    private static func field(_ name: String, of path: String) -> Int? {
        let line = lines(path).first { $0.hasPrefix(name) }
        return line?.split(separator: " ").dropFirst().first.flatMap { Int($0) }.map { $0 * 1024 }
            ?? line?.split(separator: "\t").dropFirst().first
            .flatMap { $0.split(separator: " ").first.flatMap { Int($0) } }.map { $0 * 1024 }
    }

    /// What a container may still take. Files that were read can be dropped, so they do not count as taken.
    private static var roomInControlGroup: Int? {
        for (folder, limit, usage, file) in [
            ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file "),
            (
                "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
                "total_inactive_file "
            ),
        ] {
            guard let most = number(folder + "/" + limit), let used = number(folder + "/" + usage) else {
                continue
            }
            let files = lines(folder + "/memory.stat").first { $0.hasPrefix(file) }
                .flatMap { Int($0.dropFirst(file.count)) }
            return max(0, most - used + (files ?? 0))
        }
        return nil
    }

    private static func number(_ path: String) -> Int? { lines(path).first.flatMap { Int($0) } }

    private static func lines(_ path: String) -> [Substring] {
        guard let data = FileManager.default.contents(atPath: path) else { return [] }
        return String(decoding: data, as: UTF8.self).split(separator: "\n")
    }
}
