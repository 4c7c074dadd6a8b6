//! A signature that is right, by an RSA key that nobody should accept: 1 024 bits. No library makes one, so it
//! is made here by hand.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::jws::signing_input;

/// The modulus, which is public.
const MODULUS: &str = "\
    aa04a36d2b57fbb6904f4e673cd5b934d6b1c4994ac1c9780c6733c8f9515e29\
    fd7e9e13d71c21afd5e8c420bf2ed236f721b24f65a50662f7690b27d933f41c\
    531e887eef497efb6e4212c33cbf1f9be6281f1136efb62131217b3592622a7a\
    f8d12282d5a0796232507c152fe5a59ea35cf740a84c5d90514364a11688ef63";

/// The private exponent of it, which protects nothing.
const PRIVATE_EXPONENT: &str = "\
    8926dcbf406be57eccc36d3812f74644bdbd021fb712c4f7b6e9b9f8b2475573\
    022f964de305aa97323467a313172e3570ff19dcbade795c74c1a4622cf1a045\
    b84faab785cf64f3ef49bca8ae7fbd17bea95167a78b56cfe3a04a3b76bc976d\
    585367895cacf20682e2bae68e63efeff2f08048f8c334af87309f9bbd2fbcc1";

/// What stands before a SHA-256 digest that is signed (RFC 8017, section 9.2).
const DIGEST_INFO: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
    0x00, 0x04, 0x20,
];

const KID: &str = "weak";

/// How many 64-bit digits a number has.
const DIGITS: usize = 16;

/// A number of 1 024 bits, the least digit first.
type Number = [u64; DIGITS];

/// The public key.
pub fn jwk() -> Value {
    let n = URL_SAFE_NO_PAD.encode(bytes(&number(MODULUS)));
    json!({"kty": "RSA", "kid": KID, "alg": "RS256", "use": "sig", "n": n, "e": "AQAB"})
}

/// Signs by RS256 (RFC 8017, section 8.2.1).
pub fn sign(mut header: Value, claims: &Value) -> String {
    header["alg"] = json!("RS256");
    header["kid"] = json!(KID);
    let signed = signing_input(&header, claims);
    let mut block = vec![0x00, 0x01];
    block.resize(DIGITS * 8 - DIGEST_INFO.len() - 32 - 1, 0xff);
    block.push(0x00);
    block.extend(DIGEST_INFO);
    block.extend(digest(&SHA256, signed.as_bytes()).as_ref());
    let modulus = number(MODULUS);
    let signature = power(&of_bytes(&block), &number(PRIVATE_EXPONENT), &modulus);
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bytes(&signature)))
}

fn number(hexadecimal: &str) -> Number {
    let digit = |nth: usize| {
        let start = (DIGITS - 1 - nth) * 16;
        u64::from_str_radix(&hexadecimal[start..start + 16], 16).expect("hexadecimal digits")
    };
    std::array::from_fn(digit)
}

fn of_bytes(bytes: &[u8]) -> Number {
    let digit = |nth: usize| {
        let start = (DIGITS - 1 - nth) * 8;
        u64::from_be_bytes(bytes[start..start + 8].try_into().expect("eight bytes"))
    };
    std::array::from_fn(digit)
}

fn bytes(number: &Number) -> Vec<u8> {
    number
        .iter()
        .rev()
        .flat_map(|digit| digit.to_be_bytes())
        .collect()
}

fn bits(number: &Number) -> impl Iterator<Item = bool> {
    let digits = number.iter().rev().copied();
    digits.flat_map(|digit| (0..64).rev().map(move |bit| digit >> bit & 1 == 1))
}

/// The sum of two numbers below the modulus.
fn sum(a: &Number, b: &Number, modulus: &Number) -> Number {
    let mut sum = [0; DIGITS];
    let mut carry = false;
    for nth in 0..DIGITS {
        (sum[nth], carry) = a[nth].carrying(b[nth], carry);
    }
    let is_below = sum.iter().rev().lt(modulus.iter().rev());
    if carry || !is_below {
        let mut borrow = false;
        for nth in 0..DIGITS {
            (sum[nth], borrow) = sum[nth].borrowing(modulus[nth], borrow);
        }
    }
    sum
}

fn product(a: &Number, b: &Number, modulus: &Number) -> Number {
    bits(b).fold([0; DIGITS], |so_far, is_set| {
        let doubled = sum(&so_far, &so_far, modulus);
        if is_set {
            sum(&doubled, a, modulus)
        } else {
            doubled
        }
    })
}

fn power(base: &Number, exponent: &Number, modulus: &Number) -> Number {
    let mut one = [0; DIGITS];
    one[0] = 1;
    bits(exponent).fold(one, |so_far, is_set| {
        let squared = product(&so_far, &so_far, modulus);
        if is_set {
            product(&squared, base, modulus)
        } else {
            squared
        }
    })
}

/// Digit by digit, with what is carried on.
trait Digit: Sized {
    fn carrying(self, other: Self, carry: bool) -> (Self, bool);
    fn borrowing(self, other: Self, borrow: bool) -> (Self, bool);
}

impl Digit for u64 {
    fn carrying(self, other: Self, carry: bool) -> (Self, bool) {
        let (sum, over) = self.overflowing_add(other);
        let (sum, again) = sum.overflowing_add(Self::from(carry));
        (sum, over || again)
    }

    fn borrowing(self, other: Self, borrow: bool) -> (Self, bool) {
        let (rest, under) = self.overflowing_sub(other);
        let (rest, again) = rest.overflowing_sub(Self::from(borrow));
        (rest, under || again)
    }
}
