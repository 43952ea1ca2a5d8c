#![no_main]
#[path = "../config_properties.rs"]
#[allow(dead_code)]
mod config_properties;

libfuzzer_sys::fuzz_target!(|data: &[u8]| config_properties::config_edit(data));
