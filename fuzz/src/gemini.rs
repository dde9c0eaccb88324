//! Whatever comes as Gemini, every dialect can be told.

#![no_main]

use llm::neutral::Dialect;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::translate(Dialect::Gemini, data));
