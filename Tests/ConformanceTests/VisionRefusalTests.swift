import Images
import JSON
import Layers
import Models
import OrderedCollections
import ReferenceBackend
import Tensors
import Testing
import Weights

/// What no model that sees can be built from gets an error that names it, never a trap, then or when it looks.
@Suite struct VisionRefusalTests {
    /// Each number of each config.json becomes strange in turn, however deep it lies.
    @Test(arguments: VisionGoldenTests.names)
    func strangeNumbersAreRefused(_ name: String) throws {
        let original = try openCheckpoint(Goldens.path("vision", name))
        let image = PixelImage(width: 3, height: 2, pixels: [UInt8](repeating: 9, count: 18))
        for strange in Self.strange {
            for configuration in original.configuration.changed(to: strange) {
                let label = "\(name), \(strange): \(configuration)"
                do {
                    let checkpoint = Altered(original: original, configuration: configuration)
                    let backend = ReferenceBackend()
                    let model = try buildModel(checkpoint, on: backend, images: ImageUse(backend: backend))
                    let encoder = try #require(model.imageEncoder)
                    let plan = try encoder.plan(width: image.width, height: image.height)
                    #expect(encoder.encode([image]).map(\.rows) == [plan.tokens], "\(label)")
                } catch {
                    #expect(
                        error is ConfigError || error is CheckpointError || error is RotaryError
                            || error is ImageRefusal, "\(label): \(error)")
                }
            }
        }
    }

    private static let strange: [JSONValue] = [
        1e-30,
        .integer(-1), .integer(0), .integer(3), .integer(1 << 31), .integer(.max), .number(0.3),
        .number(1e300),
        .string("x"), .null,
    ]
}

extension JSONValue {
    /// Copies in each of which one other number has become `value`.
    fileprivate func changed(to value: JSONValue) -> [JSONValue] {
        switch self {
        case .integer, .number: [value]
        case .array(let items):
            items.indices.flatMap { index in
                items[index].changed(to: value).map { item in
                    var items = items
                    items[index] = item
                    return .array(items)
                }
            }
        case .object(let members):
            members.flatMap { key, member in
                member.changed(to: value).map { member in
                    var members = members
                    members[key] = member
                    return .object(members)
                }
            }
        default: []
        }
    }
}
