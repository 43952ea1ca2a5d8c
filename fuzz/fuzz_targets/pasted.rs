#![no_main]
#[path = "../oauth_properties.rs"]
#[allow(dead_code)]
mod oauth_properties;

libfuzzer_sys::fuzz_target!(|data: &[u8]| oauth_properties::pasted(data));
