//! Which instructions the kernels run on.

/// The instruction set that the kernels take on this machine, in words. Machines with the same one compute the same bits; with
/// another one the last bits differ, since sums are then added up in other parts.
#[must_use]
pub fn instruction_set() -> &'static str {
    // The targets of the kernels' `multiversion` attributes, in their order.
    #[cfg(target_arch = "x86_64")]
    {
        let with_avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let with_avx512 = with_avx2
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        match (with_avx512, with_avx2) {
            (true, _) => "x86-64 with AVX-512",
            (false, true) => "x86-64 with AVX2",
            (false, false) => "x86-64 without AVX2",
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        std::env::consts::ARCH
    }
}
