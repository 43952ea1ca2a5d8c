#![no_main]
#[path = "../file_properties.rs"]
#[allow(dead_code)]
mod file_properties;

libfuzzer_sys::fuzz_target!(|data: &[u8]| file_properties::directives(data));
