//! Tar archives put together by hand.

/// One member: its header can be changed field by field.
pub struct TarEntry {
    pub name: String,
    pub kind: u8,
    pub size: Vec<u8>,
    pub data: Vec<u8>,
    /// Added to the right checksum.
    pub checksum_off: u32,
    pub prefix: String,
}

pub fn file(name: &str, data: &[u8]) -> TarEntry {
    TarEntry {
        name: name.to_owned(),
        kind: b'0',
        size: format!("{:011o}", data.len()).into_bytes(),
        data: data.to_vec(),
        checksum_off: 0,
        prefix: String::new(),
    }
}

pub fn tar(entries: &[TarEntry]) -> Vec<u8> {
    let mut bytes: Vec<u8> = entries.iter().flat_map(member).collect();
    bytes.extend([0; 1024]);
    bytes
}

pub fn member(entry: &TarEntry) -> Vec<u8> {
    let mut header = [0_u8; 512];
    let mut put = |at: usize, field: &[u8]| header[at..at + field.len()].copy_from_slice(field);
    put(0, entry.name.as_bytes());
    put(100, b"0000644");
    put(124, &entry.size);
    put(136, b"00000000000");
    put(148, b"        ");
    put(156, &[entry.kind]);
    put(257, b"ustar\x0000");
    put(345, entry.prefix.as_bytes());
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    let sum = format!("{:06o}\0 ", sum + entry.checksum_off);
    header[148..156].copy_from_slice(sum.as_bytes());
    let mut bytes = header.to_vec();
    bytes.extend(&entry.data);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}
