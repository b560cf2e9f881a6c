/// The chat formats of families whose checkpoints come without a template, because their code writes the
/// prompt; as Jinja, by the class of their tokenizer.
enum FamilyTemplate {
    static func template(of tokenizerClass: String) -> String? {
        switch tokenizerClass {
        case "QWenTokenizer": qwen
        case "ChatGLMTokenizer": chatGLM2
        case "InternLMTokenizer": internLM
        default: nil
        }
    }

    /// ChatML, with the system message that Qwen's `make_context` puts first.
    private static let qwen = """
        {%- if messages[0]['role'] != 'system' -%}
        {{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}
        {%- endif -%}
        {%- for message in messages -%}
        {{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' }}
        {%- if not loop.last or add_generation_prompt -%}{{ '\\n' }}{%- endif -%}
        {%- endfor -%}
        {%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}
        """

    /// Rounds of a question and an answer, numbered from 1 (ChatGLM2's `build_prompt`). A system message goes
    /// before the first question.
    private static let chatGLM2 = """
        {{- '[gMASK]sop' -}}
        {%- set ns = namespace(round=0, system='') -%}
        {%- for message in messages -%}
        {%- if message['role'] == 'system' -%}
        {%- set ns.system = message['content'] + '\\n' -%}
        {%- elif message['role'] == 'user' -%}
        {%- set ns.round = ns.round + 1 -%}
        {{ '[Round ' ~ ns.round ~ ']\\n\\n问：' + ns.system + message['content'] + '\\n\\n答：' }}
        {%- set ns.system = '' -%}
        {%- else -%}
        {{ message['content'] }}
        {%- if not loop.last -%}{{ '\\n\\n' }}{%- endif -%}
        {%- endif -%}
        {%- endfor -%}
        """

    /// `<|User|>:` and `<|Bot|>:` (InternLM's `build_inputs`).
    private static let internLM = """
        {{- bos_token if bos_token is defined and bos_token else '' -}}
        {%- for message in messages -%}
        {%- if message['role'] == 'system' -%}
        {{ '<|System|>:' + message['content'] + '\\n' }}
        {%- elif message['role'] == 'user' -%}
        {{ '<|User|>:' + message['content'] + '<eoh>\\n' }}
        {%- else -%}
        {{ '<|Bot|>:' + message['content'] + '<eoa>\\n' }}
        {%- endif -%}
        {%- endfor -%}
        {%- if add_generation_prompt -%}{{ '<|Bot|>:' }}{%- endif -%}
        """
}
