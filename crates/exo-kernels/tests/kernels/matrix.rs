//! What is refused.

use exo_kernels::{Dtype, Matrix, PackError};

#[test]
fn names_lead_back() {
    assert!(Dtype::ALL.into_iter().all(|dtype| Dtype::from_name(dtype.name()) == Some(dtype)));
    assert_eq!(Dtype::from_name("IQ2_S"), None);
}

#[test]
fn sizes_and_shares_that_do_not_fit_are_refused() {
    let refused = |dtype, n, k, bytes: usize| Matrix::new(dtype, n, k, &vec![0; bytes]).expect_err("does not fit");
    assert!(matches!(refused(Dtype::Q4_0, 1, 33, 18), PackError::Blocks { block: 32, .. }));
    assert!(matches!(refused(Dtype::F32, 0, 4, 0), PackError::Blocks { .. }));
    assert!(matches!(refused(Dtype::F32, usize::MAX, 4, 16), PackError::Size { .. }));
    let error = refused(Dtype::Q8_0, 2, 32, 67);
    assert_eq!(error.to_string(), "a Q8_0 matrix of 2 x 32 does not have 67 bytes; give the whole tensor");
    let bytes = [0; 2 * 144 * 2];
    let matrix = Matrix::new(Dtype::Q4_K, 2, 512, &bytes).expect("fits");
    assert!(matrix.rows(0..3).is_err() && matrix.rows(1..1).is_err() && matrix.rows(1..2).is_ok());
    assert!(matrix.cols(0..128).is_err() && matrix.cols(256..768).is_err() && matrix.cols(256..512).is_ok());
}
