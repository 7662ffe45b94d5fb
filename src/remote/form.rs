//! Files as forms, as Kubo and IPFS Cluster take them.

use bytes::Bytes;

/// Parts of a form are told apart by this; no block holds it, as far as chance goes.
const BOUNDARY: &str = "ipfs-kit-storage-5f9b2c71e0d84a36";

/// The media type of [`form`].
pub const FORM: &str = "multipart/form-data; boundary=ipfs-kit-storage-5f9b2c71e0d84a36";

/// A form with one file.
pub fn form(file: &[u8]) -> Bytes {
    let head = format!(
        "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"blocks\"\r\n\
         content-type: application/octet-stream\r\n\r\n"
    );
    [head.as_bytes(), file, format!("\r\n--{BOUNDARY}--\r\n").as_bytes()].concat().into()
}
