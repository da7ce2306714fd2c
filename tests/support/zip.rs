//! Zip archives, header by header: right unless a test makes them wrong.

/// One member, with what its two headers say where that should differ from the truth.
#[derive(Clone, Default)]
pub struct Entry {
    pub name: Vec<u8>,
    /// The bytes as they are stored.
    pub data: Vec<u8>,
    pub method: u16,
    pub flags: u16,
    pub size: Option<u32>,
    pub crc: Option<u32>,
    pub disk: u16,
    pub extra: Vec<u8>,
    pub header_offset: Option<u32>,
    pub local_name: Option<Vec<u8>>,
    pub local_method: Option<u16>,
    pub local_flags: Option<u16>,
    pub local_crc: Option<u32>,
    pub local_size: Option<u32>,
    /// Writes crc and sizes after the data, as torch does.
    pub descriptor: bool,
    pub descriptor_crc: Option<u32>,
    /// Leaves the member out of the directory.
    pub hidden: bool,
}

/// A stored member.
pub fn entry(name: &str, data: &[u8]) -> Entry {
    Entry {
        name: name.as_bytes().to_vec(),
        data: data.to_vec(),
        ..Entry::default()
    }
}

/// A deflated member.
pub fn deflated(name: &str, data: &[u8]) -> Entry {
    use std::io::Write;
    let mut encoder =
        flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(data).unwrap();
    Entry {
        data: encoder.finish().unwrap(),
        method: 8,
        size: Some(u32::try_from(data.len()).unwrap()),
        crc: Some(crc(data)),
        ..entry(name, &[])
    }
}

pub fn crc(data: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(data);
    crc.sum()
}

/// An archive in the making.
#[derive(Clone, Default)]
pub struct Zip {
    pub entries: Vec<Entry>,
    /// Bytes before the first header; `shifted` says whether offsets count them.
    pub before: Vec<u8>,
    pub shifted: bool,
    /// Bytes between the last member and the directory.
    pub gap: Vec<u8>,
    pub comment: Vec<u8>,
    /// Bytes after the end record.
    pub after: Vec<u8>,
    pub count: Option<u16>,
    pub disk: u16,
    /// Adds a zip64 record; the number is its count of entries.
    pub zip64: Option<u64>,
}

impl Zip {
    pub fn of(entries: Vec<Entry>) -> Self {
        Self {
            entries,
            shifted: true,
            ..Self::default()
        }
    }

    pub fn build(&self) -> Vec<u8> {
        let mut file = self.before.clone();
        let base = if self.shifted { 0 } else { file.len() };
        let mut directory = Vec::new();
        let mut count: u16 = 0;
        for entry in &self.entries {
            let offset = (file.len() - base) as u32;
            file.extend(entry.local_header());
            file.extend(&entry.data);
            if entry.descriptor {
                file.extend(b"PK\x07\x08");
                file.extend(entry.descriptor_crc.unwrap_or(entry.crc()).to_le_bytes());
                file.extend((entry.data.len() as u32).to_le_bytes());
                file.extend(entry.size().to_le_bytes());
            }
            if !entry.hidden {
                directory.extend(entry.central_header(offset));
                count += 1;
            }
        }
        file.extend(&self.gap);
        let directory_offset = (file.len() - base) as u32;
        file.extend(&directory);
        if let Some(entries) = self.zip64 {
            let at = file.len() as u64;
            file.extend(b"PK\x06\x06");
            file.extend(44_u64.to_le_bytes());
            file.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            file.extend(entries.to_le_bytes());
            file.extend(entries.to_le_bytes());
            file.extend((directory.len() as u64).to_le_bytes());
            file.extend(u64::from(directory_offset).to_le_bytes());
            file.extend(b"PK\x06\x07\0\0\0\0");
            file.extend(at.to_le_bytes());
            file.extend(1_u32.to_le_bytes());
        }
        let count = self.count.unwrap_or(count);
        file.extend(b"PK\x05\x06");
        file.extend(self.disk.to_le_bytes());
        file.extend(self.disk.to_le_bytes());
        file.extend(count.to_le_bytes());
        file.extend(count.to_le_bytes());
        file.extend((directory.len() as u32).to_le_bytes());
        file.extend(directory_offset.to_le_bytes());
        file.extend((self.comment.len() as u16).to_le_bytes());
        file.extend(&self.comment);
        file.extend(&self.after);
        file
    }
}

impl Entry {
    fn size(&self) -> u32 {
        self.size.unwrap_or(self.data.len() as u32)
    }

    fn crc(&self) -> u32 {
        self.crc.unwrap_or_else(|| crc(&self.data))
    }

    fn flags(&self) -> u16 {
        self.flags | if self.descriptor { 8 } else { 0 }
    }

    fn local_header(&self) -> Vec<u8> {
        let name = self.local_name.as_ref().unwrap_or(&self.name);
        let open = self.descriptor;
        let crc = self.local_crc.unwrap_or(if open { 0 } else { self.crc() });
        let stored = if open { 0 } else { self.data.len() as u32 };
        let size = self
            .local_size
            .unwrap_or(if open { 0 } else { self.size() });
        let mut header = b"PK\x03\x04\0\0".to_vec();
        header.extend(self.local_flags.unwrap_or(self.flags()).to_le_bytes());
        header.extend(self.local_method.unwrap_or(self.method).to_le_bytes());
        header.extend([0; 4]);
        header.extend(crc.to_le_bytes());
        header.extend(stored.to_le_bytes());
        header.extend(size.to_le_bytes());
        header.extend((name.len() as u16).to_le_bytes());
        header.extend([0; 2]);
        header.extend(name);
        header
    }

    fn central_header(&self, offset: u32) -> Vec<u8> {
        let mut header = b"PK\x01\x02\0\0\0\0".to_vec();
        header.extend(self.flags().to_le_bytes());
        header.extend(self.method.to_le_bytes());
        header.extend([0; 4]);
        header.extend(self.crc().to_le_bytes());
        header.extend((self.data.len() as u32).to_le_bytes());
        header.extend(self.size().to_le_bytes());
        header.extend((self.name.len() as u16).to_le_bytes());
        header.extend((self.extra.len() as u16).to_le_bytes());
        header.extend([0; 2]);
        header.extend(self.disk.to_le_bytes());
        header.extend([0; 6]);
        header.extend(self.header_offset.unwrap_or(offset).to_le_bytes());
        header.extend(&self.name);
        header.extend(&self.extra);
        header
    }
}
