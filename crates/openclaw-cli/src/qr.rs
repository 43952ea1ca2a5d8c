//! An address as a picture for a phone's camera.

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

/// The picture in half blocks, or why there is none.
pub(crate) fn picture(address: &str) -> String {
    match QrCode::with_error_correction_level(address, EcLevel::L) {
        Ok(code) => code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build(),
        Err(_) => "(The address is too long for a QR code.)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_address_becomes_blocks() {
        let picture = super::picture("https://github.com/login/device");
        assert!(picture.lines().count() > 10 && picture.contains('█'));
        assert!(super::picture(&"x".repeat(5000)).starts_with('('));
    }
}
