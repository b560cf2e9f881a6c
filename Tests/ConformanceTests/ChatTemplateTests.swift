import ChatTemplates
import Foundation
import JSON
import OrderedCollections
import Testing

@Suite struct ChatTemplateGoldenTests {
    static let names =
        ((try? FileManager.default.contentsOfDirectory(atPath: Goldens.path("chat_templates"))) ?? [])
        .filter { $0.hasSuffix(".json") }.sorted()

    @Test func thereAreTemplates() { #expect(!Self.names.isEmpty) }

    @Test(arguments: names)
    func rendersAsRecorded(_ name: String) throws {
        let golden = try Goldens.json("chat_templates", name)
        let template = try ChatTemplate(golden["chat_template"]?.string ?? "")
        let cases = golden["cases"]?.array ?? []
        #expect(!cases.isEmpty)
        for entry in cases {
            var input = ChatTemplate.Input(messages: entry["messages"] ?? .null)
            input.tools = entry["tools"] ?? .null
            input.addsGenerationPrompt = entry["add_generation_prompt"]?.bool ?? false
            input.bosToken = golden["bos_token"]?.string
            input.eosToken = golden["eos_token"]?.string
            input.variables = entry["kwargs"]?.object ?? [:]
            let label = "\(name) \(entry["name"]?.string ?? "")"
            do {
                let text = try template.render(input)
                #expect(text == entry["expected"]?.string, "\(label)")
            } catch {
                #expect(entry["expected_error"]?.string != nil, "\(label): \(error)")
                // The recorded text begins with the Python type of the error.
                let recorded = entry["expected_error"]?.string?.components(separatedBy: ": ").dropFirst()
                #expect(
                    error.description.hasSuffix(recorded?.joined(separator: ": ") ?? ""), "\(label): \(error)"
                )
            }
        }
    }
}
