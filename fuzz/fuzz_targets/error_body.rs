#![no_main]
#[path = "../probe_properties.rs"]
#[allow(dead_code)]
mod probe_properties;

libfuzzer_sys::fuzz_target!(|data: &[u8]| probe_properties::error_body(data));
