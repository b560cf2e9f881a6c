import Foundation
import SwiftProtobuf

/// What is read of a SentencePiece model file: a part of the messages of its sentencepiece_model.proto, by
/// their field numbers. Other fields are skipped.
struct SentencePieceProto: Sendable, Equatable {
    struct Piece: Sendable, Equatable {
        var text = ""
        var score: Float = 0
        var type: Int32 = 1
        var unknownFields = UnknownStorage()
    }

    struct Trainer: Sendable, Equatable {
        /// 1 for Unigram, 2 for BPE.
        var modelType: Int32 = 1
        var marksSpaceAsSuffix = false
        var fallsBackToBytes = false
        var unknown: Int32 = 0
        var bos: Int32 = 1
        var eos: Int32 = 2
        var unknownFields = UnknownStorage()
    }

    struct Normalizer: Sendable, Equatable {
        var characterMap = Data()
        var addsDummyPrefix = true
        var removesExtraSpaces = true
        var escapesSpaces = true
        var unknownFields = UnknownStorage()
    }

    var pieces: [Piece] = []
    var trainer = Trainer()
    var normalizer = Normalizer()
    var unknownFields = UnknownStorage()

    init() {}

    init(file: [UInt8]) throws(TokenizerError) {
        var options = BinaryDecodingOptions()
        options.discardUnknownFields = true
        do { try self.init(serializedBytes: file, options: options) } catch {
            throw .malformed("tokenizer.model: expected a SentencePiece model: \(error)")
        }
    }
}

extension SentencePieceProto: Message, _MessageImplementationBase {
    static let protoMessageName = "sentencepiece.ModelProto"

    mutating func decodeMessage<D: SwiftProtobuf.Decoder>(decoder: inout D) throws {
        while let field = try decoder.nextFieldNumber() {
            switch field {
            case 1: try decoder.decodeRepeatedMessageField(value: &pieces)
            case 2: try decode(&trainer, &decoder)
            case 3: try decode(&normalizer, &decoder)
            default: break
            }
        }
    }

    private func decode<M: Message, D: SwiftProtobuf.Decoder>(_ value: inout M, _ decoder: inout D) throws {
        var message: M? = value
        try decoder.decodeSingularMessageField(value: &message)
        if let message { value = message }
    }

    func traverse<V: Visitor>(visitor: inout V) throws {
        if !pieces.isEmpty { try visitor.visitRepeatedMessageField(value: pieces, fieldNumber: 1) }
        try visitor.visitSingularMessageField(value: trainer, fieldNumber: 2)
        try visitor.visitSingularMessageField(value: normalizer, fieldNumber: 3)
        try unknownFields.traverse(visitor: &visitor)
    }
}

extension SentencePieceProto.Piece: Message, _MessageImplementationBase {
    static let protoMessageName = "sentencepiece.ModelProto.SentencePiece"

    mutating func decodeMessage<D: SwiftProtobuf.Decoder>(decoder: inout D) throws {
        while let field = try decoder.nextFieldNumber() {
            switch field {
            case 1: try decoder.decodeSingularStringField(value: &text)
            case 2: try decoder.decodeSingularFloatField(value: &score)
            case 3: try decoder.decodeSingularInt32Field(value: &type)
            default: break
            }
        }
    }

    func traverse<V: Visitor>(visitor: inout V) throws {
        try visitor.visitSingularStringField(value: text, fieldNumber: 1)
        try visitor.visitSingularFloatField(value: score, fieldNumber: 2)
        try visitor.visitSingularInt32Field(value: type, fieldNumber: 3)
        try unknownFields.traverse(visitor: &visitor)
    }
}

extension SentencePieceProto.Trainer: Message, _MessageImplementationBase {
    static let protoMessageName = "sentencepiece.TrainerSpec"

    mutating func decodeMessage<D: SwiftProtobuf.Decoder>(decoder: inout D) throws {
        while let field = try decoder.nextFieldNumber() {
            switch field {
            case 3: try decoder.decodeSingularInt32Field(value: &modelType)
            case 24: try decoder.decodeSingularBoolField(value: &marksSpaceAsSuffix)
            case 35: try decoder.decodeSingularBoolField(value: &fallsBackToBytes)
            case 40: try decoder.decodeSingularInt32Field(value: &unknown)
            case 41: try decoder.decodeSingularInt32Field(value: &bos)
            case 42: try decoder.decodeSingularInt32Field(value: &eos)
            default: break
            }
        }
    }

    func traverse<V: Visitor>(visitor: inout V) throws {
        try visitor.visitSingularInt32Field(value: modelType, fieldNumber: 3)
        try visitor.visitSingularBoolField(value: marksSpaceAsSuffix, fieldNumber: 24)
        try visitor.visitSingularBoolField(value: fallsBackToBytes, fieldNumber: 35)
        try visitor.visitSingularInt32Field(value: unknown, fieldNumber: 40)
        try visitor.visitSingularInt32Field(value: bos, fieldNumber: 41)
        try visitor.visitSingularInt32Field(value: eos, fieldNumber: 42)
        try unknownFields.traverse(visitor: &visitor)
    }
}

extension SentencePieceProto.Normalizer: Message, _MessageImplementationBase {
    static let protoMessageName = "sentencepiece.NormalizerSpec"

    mutating func decodeMessage<D: SwiftProtobuf.Decoder>(decoder: inout D) throws {
        while let field = try decoder.nextFieldNumber() {
            switch field {
            case 2: try decoder.decodeSingularBytesField(value: &characterMap)
            case 3: try decoder.decodeSingularBoolField(value: &addsDummyPrefix)
            case 4: try decoder.decodeSingularBoolField(value: &removesExtraSpaces)
            case 5: try decoder.decodeSingularBoolField(value: &escapesSpaces)
            default: break
            }
        }
    }

    func traverse<V: Visitor>(visitor: inout V) throws {
        try visitor.visitSingularBytesField(value: characterMap, fieldNumber: 2)
        try visitor.visitSingularBoolField(value: addsDummyPrefix, fieldNumber: 3)
        try visitor.visitSingularBoolField(value: removesExtraSpaces, fieldNumber: 4)
        try visitor.visitSingularBoolField(value: escapesSpaces, fieldNumber: 5)
        try unknownFields.traverse(visitor: &visitor)
    }
}
