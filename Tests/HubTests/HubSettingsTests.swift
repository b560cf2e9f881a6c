import Foundation
import Hub
import Testing

@Suite struct HubSettingsTests {
    @Test func variablesAreThoseOfTheOtherTools() throws {
        let home = NSHomeDirectory()
        let plain = try HubSettings(environment: ["HF_TOKEN_PATH": "/nowhere"])
        #expect(plain.endpoint.description == "https://huggingface.co" && plain.token == nil)
        #expect(plain.cacheFolder == home + "/.cache/huggingface/hub" && !plain.isOffline)
        let scratch = try ScratchFolder()
        try Data("hf_abc\n".utf8).write(to: URL(fileURLWithPath: scratch.path + "/token"))
        let other = try HubSettings(environment: [
            "HF_HOME": scratch.path, "HF_ENDPOINT": "http://mirror:81/hf//", "HF_HUB_OFFLINE": "yes",
        ])
        #expect(other.endpoint.description == "http://mirror:81/hf" && other.isOffline)
        #expect(other.cacheFolder == scratch.path + "/hub" && other.token == "hf_abc")
        let named = try HubSettings(environment: [
            "HF_HOME": scratch.path, "HF_HUB_CACHE": "~/c", "HF_TOKEN": " hf_x ", "HF_HUB_OFFLINE": "0",
        ])
        #expect(named.cacheFolder == home + "/c" && named.token == "hf_x" && !named.isOffline)
        #expect(try HubSettings(environment: ["XDG_CACHE_HOME": "/x"]).cacheFolder == "/x/huggingface/hub")
    }

    @Test(arguments: [
        ["HF_ENDPOINT": "huggingface.co"], ["HF_ENDPOINT": "ftp://h"], ["HF_ENDPOINT": "http://u:p@h"],
        ["HF_ENDPOINT": "http://h/?q"], ["HF_TOKEN": "a\r\nx-evil: 1"],
    ])
    func badValuesAreNamed(_ environment: [String: String]) throws {
        let name = try #require(environment.keys.first)
        #expect { try HubSettings(environment: environment) } throws: { "\($0)".hasPrefix(name) }
    }
}
