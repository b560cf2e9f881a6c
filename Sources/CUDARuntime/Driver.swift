public import CCUDA

/// The CUDA driver.
public final class Driver: Sendable {
    let api: ccuda_driver_api
    public let path: String

    /// Opens the driver's library. Throws when there is none, or no device.
    public convenience init(_ finder: LibraryFinder = LibraryFinder()) throws(CUDAError) {
        let (api, path) = try finder.load("libcuda.so", versions: [1], ccuda_resolve_driver)
        self.init(table: api, path: path)
        let status = api.`init`(0)
        guard status == 0 else { throw .noDevice(text(status)) }
    }

    /// A driver that is already there, as that of tests.
    public init(table: ccuda_driver_api, path: String) { (api, self.path) = (table, path) }

    /// One that does nothing, to find out what memory a device would need.
    public static var idle: Driver {
        var table: ccuda_driver_api?
        withUnsafeMutablePointer(to: &table) { table in
            // Unsafe: the table has no value of its own to begin with, as its entries are never null.
            table.withMemoryRebound(to: ccuda_driver_api.self, capacity: 1) { ccuda_idle_driver($0) }
        }
        guard let table else { preconditionFailure("a table without entries") }
        return Driver(table: table, path: "none")
    }

    public var deviceCount: Int {
        var count: Int32 = 0
        return api.deviceGetCount(&count) == 0 ? Int(count) : 0
    }

    /// The newest version of CUDA that the driver knows, as 1000 times the major and 10 times the minor number.
    public var version: Int {
        var version: Int32 = 0
        return api.driverGetVersion(&version) == 0 ? Int(version) : 0
    }

    func check(_ status: CUresult, _ call: StaticString) throws(CUDAError) {
        guard status == 0 else {
            throw .driver(call: "\(call)", code: status, text: text(status))
        }
    }

    private func text(_ status: CUresult) -> String {
        var (name, description): (UnsafePointer<CChar>?, UnsafePointer<CChar>?)
        guard api.getErrorName(status, &name) == 0, api.getErrorString(status, &description) == 0,
            let name, let description
        else { return "error \(status)" }
        return "\(String(cString: name)), \(String(cString: description))"
    }
}
