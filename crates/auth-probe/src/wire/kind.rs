//! The API kinds that the configuration knows (spec 03 section 5.1).

/// The protocol that an endpoint speaks: the word under `api` in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ApiKind {
    /// Anthropic's Messages API, and hosts that copy it.
    AnthropicMessages,
    /// OpenAI's Chat Completions API, and the many hosts that copy it.
    OpenAiCompletions,
    /// OpenAI's Responses API.
    OpenAiResponses,
    /// The Responses API behind a ChatGPT login.
    OpenAiCodexResponses,
    /// The Responses API of an Azure resource.
    AzureOpenAiResponses,
    /// Google's Gemini API.
    GoogleGenerativeAi,
    /// Ollama's own chat API.
    Ollama,
    /// Amazon Bedrock's `ConverseStream`.
    BedrockConverseStream,
    /// GitHub Copilot with an exchanged token; here in the form of Chat Completions.
    GithubCopilot,
}

impl ApiKind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::AnthropicMessages,
        Self::OpenAiCompletions,
        Self::OpenAiResponses,
        Self::OpenAiCodexResponses,
        Self::AzureOpenAiResponses,
        Self::GoogleGenerativeAi,
        Self::Ollama,
        Self::BedrockConverseStream,
        Self::GithubCopilot,
    ];

    /// Reads the word of the configuration; blanks around it and case do not matter.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let word = word.trim();
        Self::ALL.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(word))
    }

    /// The word of the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AnthropicMessages => "anthropic-messages",
            Self::OpenAiCompletions => "openai-completions",
            Self::OpenAiResponses => "openai-responses",
            Self::OpenAiCodexResponses => "openai-codex-responses",
            Self::AzureOpenAiResponses => "azure-openai-responses",
            Self::GoogleGenerativeAi => "google-generative-ai",
            Self::Ollama => "ollama",
            Self::BedrockConverseStream => "bedrock-converse-stream",
            Self::GithubCopilot => "github-copilot",
        }
    }
}
