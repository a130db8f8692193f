//! A rendered picture.

use crate::EnvError;

/// A picture of an environment's state: rows from the top, three bytes (red, green, blue) a pixel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// `3 * width * height` bytes.
    pub rgb: Vec<u8>,
}

impl Frame {
    /// The frame as the bytes of a PNG file.
    ///
    /// # Errors
    ///
    /// [`EnvError::Render`] if the sizes do not fit each other.
    pub fn to_png(&self) -> Result<Vec<u8>, EnvError> {
        let failed = |reason: String| EnvError::Render { reason };
        let pixels = self.width as usize * self.height as usize;
        if self.rgb.len() != 3 * pixels {
            return Err(failed(format!(
                "{} bytes for {}x{} pixels",
                self.rgb.len(),
                self.width,
                self.height
            )));
        }
        let mut pixmap = tiny_skia::Pixmap::new(self.width, self.height)
            .ok_or_else(|| failed(format!("size {}x{}", self.width, self.height)))?;
        for (to, from) in pixmap.data_mut().chunks_exact_mut(4).zip(self.rgb.chunks_exact(3)) {
            to[..3].copy_from_slice(from);
            to[3] = 255;
        }
        pixmap.encode_png().map_err(|error| failed(error.to_string()))
    }
}
