//! Proof Key for Code Exchange (RFC 7636) and the random values of a login (spec 04 section 5).

use auth_core::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::error::OAuthError;

/// How a random value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// Base64url without padding.
    Base64Url,
    /// Hexadecimal digits.
    Hex,
}

/// `bytes` random bytes of the operating system as text.
///
/// # Errors
///
/// When the operating system gives none.
pub(crate) fn random(bytes: usize, spelling: Spelling) -> Result<Secret, OAuthError> {
    let mut buffer = vec![0_u8; bytes];
    getrandom::fill(&mut buffer)
        .map_err(|error| OAuthError::protocol(format!("the system gives no random numbers: {error}")))?;
    Ok(Secret::new(match spelling {
        Spelling::Base64Url => URL_SAFE_NO_PAD.encode(&buffer),
        Spelling::Hex => hex(&buffer),
    }))
}

/// The S256 challenge of a verifier.
pub fn challenge(verifier: &Secret) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.reveal().as_bytes()))
}

/// Whether two values are equal, in a time that does not depend on where they differ.
pub fn same_in_constant_time(a: &str, b: &str) -> bool {
    // Digests have one length, and equal digests mean equal texts.
    let (a, b) = (Sha256::digest(a.as_bytes()), Sha256::digest(b.as_bytes()));
    let difference = a.iter().zip(b.iter()).fold(0_u8, |sum, (x, y)| sum | (x ^ y));
    std::hint::black_box(difference) == 0
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
        text.push(digit(byte >> 4));
        text.push(digit(byte & 0xf));
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_that_of_rfc_7636() {
        // Appendix B: the octets, the verifier and the challenge.
        let octets = [
            116, 24, 223, 180, 151, 153, 224, 37, 79, 250, 96, 125, 216, 173, 187, 186, 22, 212, 37, 77, 105, 214, 191,
            240, 91, 88, 5, 88, 83, 132, 141, 121,
        ];
        let verifier = Secret::new(URL_SAFE_NO_PAD.encode(octets));
        assert_eq!(verifier.reveal(), "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert_eq!(challenge(&verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn verifiers_are_long_enough_and_differ() {
        let one = random(32, Spelling::Base64Url).unwrap();
        let other = random(32, Spelling::Base64Url).unwrap();
        assert!(!one.is_same(&other) && one.reveal().len() == 43);
        assert!(one.reveal().chars().all(|c| c.is_ascii_alphanumeric() || "-._~".contains(c)));
        let hex = random(32, Spelling::Hex).unwrap();
        assert!(hex.reveal().len() == 64 && hex.reveal().chars().all(|c| c.is_ascii_hexdigit()));
    }

    #[test]
    fn comparison_is_exact() {
        assert!(same_in_constant_time("abc", "abc") && same_in_constant_time("", ""));
        assert!(!same_in_constant_time("abc", "abd") && !same_in_constant_time("abc", "ab"));
    }
}
