//! The list of defects that other gateways had (dialects reference §2.7 and §2.8), and the test that each has
//! here. A name of the list without a test fails, and so does a test without a place in the list.

#[cfg(test)]
mod list {
    use std::path::{Path, PathBuf};

    /// Where the tests are.
    const SOURCES: [&str; 2] = [include_str!("peers.rs"), include_str!("peers_elsewhere.rs")];

    /// A defect by the name that the reference has for it, what it was, and the test. A table of one-line
    /// entries.
    #[rustfmt::skip]
    const DEFECTS: &[(&str, &str, &str)] = &[
        ("#32357", "a second message_start, and thoughts within a block of text", "litellm_32357_one_message_start_and_no_thinking_within_text"),
        ("#29518", "callers of Messages do not get reasoning_content", "litellm_29518_reasoning_content_reaches_callers_of_messages"),
        ("#25321", "arguments are lost where only the end of them comes", "litellm_25321_arguments_of_which_only_the_end_comes"),
        ("#15884", "streamed calls without id or name, and of index -1", "litellm_15884_calls_without_id_or_with_a_negative_index_are_told_apart"),
        ("#16893", "Google's seals are lost in streams", "litellm_16893_thought_signatures_survive_a_stream"),
        ("#8964", "a signature that is null", "litellm_8964_a_signature_is_never_null"),
        ("#20433", "callers of Chat do not get thoughts", "litellm_20433_thinking_reaches_callers_of_chat"),
        ("#5437", "seals of streamed thoughts are gone behind a tool's result", "adk_python_5437_seals_of_streamed_thoughts_go_back_with_the_result_of_a_tool"),
        ("#1936", "no way from OpenAI's dialects to Anthropic's own service", "envoy_1936_and_agentgateway_no_pair_is_missing"),
        ("CHAT_TRANSLATIONS", "pairs that are missing", "envoy_1936_and_agentgateway_no_pair_is_missing"),
        ("#1911", "calls as vLLM streams them", "envoy_1911_calls_as_vllm_streams_them"),
        ("#3511", "arguments that are written anew", "bifrost_3511_arguments_survive_in_every_dialect"),
        ("orphantoolresult", "the result of a call that is not there", "bifrost_orphantoolresult_in_every_dialect"),
        ("orphantoolresult", "the same, who says it", "bifrost_orphantoolresult_is_said_by_the_user"),
        ("emptytoolresult", "a result with nothing in it", "bifrost_emptytoolresult_in_every_dialect"),
        ("emptytoolresult", "the same, where it stands", "bifrost_emptytoolresult_keeps_its_place"),
        ("emptytools", "a list of tools with none in it", "bifrost_emptytools_paramlesstool_typelesstoolschema_in_every_dialect"),
        ("paramlesstool", "a tool without parameters", "bifrost_emptytools_paramlesstool_typelesstoolschema_in_every_dialect"),
        ("typelesstoolschema", "a schema without a type", "bifrost_emptytools_paramlesstool_typelesstoolschema_in_every_dialect"),
        ("typelesstoolschema", "the same, as it is written", "bifrost_emptytools_paramlesstool_typelesstoolschema"),
        ("redactedthinkingenvelope", "hidden thoughts are lost on the way there or back", "bifrost_redactedthinkingenvelope_goes_both_ways"),
        ("streamtruncation", "a stream that is cut ends as if it were whole", "bifrost_streamtruncation_never_ends_well"),
        ("streamfailbilling", "what was used before a failure is not counted", "bifrost_streamfailbilling_what_was_stated_before_a_failure_counts"),
        ("duplicate tool names", "one name offered twice", "bifrost_duplicate_tool_names_are_offered_once"),
        ("tool payload break", "calls that overlap are mixed up", "bifrost_interleaved_calls_become_one_block_after_the_other"),
        ("stopreasontooluse", "a call, and a stop reason that is none", "bifrost_stopreasontooluse_though_the_provider_says_stop"),
        ("streamcacheusage", "what the cache gave is not told in streams", "bifrost_streamcacheusage_and_deltausagepresence"),
        ("deltausagepresence", "the last event without usage", "bifrost_streamcacheusage_and_deltausagepresence"),
        ("toolchoiceany", "`any` is `required` elsewhere", "bifrost_toolchoiceany_is_required"),
        ("systemflatten", "blocks of instructions where the provider takes one text", "bifrost_systemflatten_keeps_the_order_and_drops_the_billing_note"),
        ("refusal", "a refusal that looks like an answer", "bifrost_refusal_is_a_refusal_in_both"),
        ("guardrailstream", "a stream that a guardrail ended", "bifrost_guardrailstream_is_told_in_every_dialect"),
        ("namespace bridge", "tools in namespaces elsewhere", "bifrost_namespace_bridge_goes_there_and_back"),
        ("cache tokens both directions", "what was read from and written to the cache", "new_api_cache_tokens_go_both_ways"),
        ("#4240", "marks for the cache in Chat", "new_api_4240_marks_for_the_cache_go_from_chat_to_messages"),
    ];

    /// The tests of [`SOURCES`] that are named for a peer.
    fn tests() -> Vec<&'static str> {
        let lines = SOURCES.into_iter().flat_map(|source| source.split("#[test]").skip(1));
        let name = |rest: &'static str| rest.trim_start().strip_prefix("fn ")?.split('(').next();
        let peers = ["litellm_", "adk_python_", "envoy_", "bifrost_", "new_api_"];
        lines.filter_map(name).filter(|name| peers.iter().any(|peer| name.starts_with(peer))).collect()
    }

    #[test]
    fn every_defect_has_a_test_and_every_test_its_defect() {
        let tests = tests();
        for (name, what, test) in DEFECTS {
            assert!(tests.contains(test), "{name} ({what}): there is no test {test}");
        }
        for test in tests {
            assert!(DEFECTS.iter().any(|(.., listed)| *listed == test), "{test} is not in the list");
        }
    }

    /// The reference, beside the recordings. It is no part of this project.
    fn reference() -> Option<String> {
        let given = std::env::var_os("YUMEN_CORPUS").map(PathBuf::from);
        let recordings =
            given.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus"));
        std::fs::read_to_string(recordings.join("../reference/dialects.md")).ok()
    }

    #[test]
    fn the_list_has_every_name_of_the_reference() {
        let Some(text) = reference() else {
            println!("skipped: no reference");
            return;
        };
        let after = text.split_once("### 2.8").expect("a section on defects").1;
        let section = after.split("\n## ").next().unwrap_or(after);
        // Pull requests that were open there (#2127, #2284) mend #1936.
        let numbers = section.split('#').skip(1).map(|rest| {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            format!("#{digits}")
        });
        let checklist = section.split_once("ready checklist: ").expect("Bifrost's checklist").1;
        let checklist = checklist.split('…').next().unwrap_or(checklist).split(", ").map(str::to_owned);
        let names = numbers.filter(|name| !["#", "#2127", "#2284"].contains(&&**name)).chain(checklist);
        let missing: Vec<String> =
            names.filter(|name| !DEFECTS.iter().any(|(listed, ..)| listed == name)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
