import NIOSSL

/// The certificate that a server shows, and its key.
public struct TLSIdentity: Sendable {
    let configuration: TLSConfiguration

    /// From PEM files: the server's certificate, then those that lead to a trusted one; and the private key.
    public init(certificates: String, key: String) throws(TLSFileError) {
        let chain: [NIOSSLCertificate]
        do {
            chain = try NIOSSLCertificate.fromPEMFile(certificates)
        } catch {
            throw TLSFileError(file: certificates, expected: "certificates in PEM form", found: "\(error)")
        }
        guard !chain.isEmpty else {
            throw TLSFileError(file: certificates, expected: "certificates in PEM form", found: "none")
        }
        do {
            var configuration = TLSConfiguration.makeServerConfiguration(
                certificateChain: chain.map { .certificate($0) },
                privateKey: .privateKey(try NIOSSLPrivateKey(file: key, format: .pem)))
            configuration.applicationProtocols = ["http/1.1"]
            _ = try NIOSSLContext(configuration: configuration)
            self.configuration = configuration
        } catch {
            throw TLSFileError(
                file: key, expected: "the certificate's private key in PEM form", found: "\(error)")
        }
    }
}

public struct TLSFileError: Error, CustomStringConvertible {
    public let file: String
    public let expected: String
    public let found: String

    public var description: String { "\(file): expected \(expected), found \(found)" }
}
