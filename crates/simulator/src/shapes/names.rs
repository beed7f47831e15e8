//! What users, groups, topics, rooms and accounts are called: a function of their number, so that a population of a million
//! takes no memory. All names are safe inside a JSON string.

use crate::request::write_number;
use crate::rng::mix;

const GIVEN: [&str; 16] = [
    "mara", "ben", "lena", "noah", "wei", "jing", "amira", "tomas", "yuki", "priya", "ole", "ines", "kofi", "sara",
    "ivan", "lucia",
];

/// Applications name their users in many ways; one user has one way.
pub(super) fn user(out: &mut Vec<u8>, number: u32) {
    let random = mix(u64::from(number) | 1 << 40);
    match random % 4 {
        0 => {
            out.extend_from_slice(b"u_");
            write_number(out, u64::from(number));
        }
        1 => {
            out.extend_from_slice(GIVEN[(random >> 8) as usize % GIVEN.len()].as_bytes());
            out.push(b'.');
            write_number(out, u64::from(number));
        }
        2 => write_number(out, 10_000_000 + u64::from(number)),
        _ => {
            digits(out, random, 16, b"0123456789abcdef");
            out.push(b'-');
            write_number(out, u64::from(number));
        }
    }
}

pub(super) fn group(out: &mut Vec<u8>, number: u32) {
    if number % 5 == 4 {
        out.extend_from_slice(b"team-");
        return write_number(out, u64::from(number));
    }
    out.extend_from_slice(b"@TGS#2");
    digits(out, mix(u64::from(number) | 2 << 40), 8, LETTERS);
}

pub(super) fn community(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(b"@TGS#_@TGS#c");
    digits(out, mix(u64::from(number) | 3 << 40), 11, LETTERS);
}

pub(super) fn topic(out: &mut Vec<u8>, number: u32, topic: u32) {
    community(out, number);
    out.extend_from_slice(b"@TOPIC#_");
    digits(out, mix(u64::from(number) << 32 | u64::from(topic) | 4 << 60), 9, LETTERS);
}

pub(super) fn live_room(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(b"live_");
    write_number(out, 4_000 + u64::from(number));
}

pub(super) fn channel(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(b"@TOA#_channel_");
    write_number(out, u64::from(number));
}

/// In the form of a UUID.
pub(crate) fn uuid(out: &mut Vec<u8>, seed: u64) {
    let (high, low) = (mix(seed), mix(seed ^ u64::MAX));
    for (i, length) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        if i > 0 {
            out.push(b'-');
        }
        digits(out, mix(high ^ low.rotate_left(i as u32 * 13)), length, b"0123456789abcdef");
    }
}

const LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

fn digits(out: &mut Vec<u8>, mut random: u64, length: usize, alphabet: &[u8]) {
    for _ in 0..length {
        out.extend(alphabet.get(random as usize % alphabet.len()));
        random /= alphabet.len() as u64;
    }
}
