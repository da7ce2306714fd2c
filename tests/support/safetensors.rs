//! Safetensors files from their JSON text.

/// Length, header, data.
pub fn build(header: &str, data: &[u8]) -> Vec<u8> {
    build_bytes(header.as_bytes(), data)
}

pub fn build_bytes(header: &[u8], data: &[u8]) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header);
    file.extend_from_slice(data);
    file
}

/// A file with one `U8[2]` tensor `x`, whose info is `info`.
pub fn with_info(info: &str) -> Vec<u8> {
    build(&format!(r#"{{"x":{info}}}"#), &[1, 2])
}
