;; The two loops over pixels that every picture goes through, in WebAssembly SIMD: several times as quick as the same in JavaScript.
;; `npm run wasm` writes kernels.ts of it; pixels.ts says what the arguments are and lays out the memory.
(module
  (memory (export "memory") 1)

  ;; One row of a bilinear resize. A column of $columns is where its left pixel begins (i32) and the weights of the left and of the right
  ;; one (2 x i16, in 2^11ths); $below is the lower line's weight. One byte more than the row is written.
  (func (export "blend") (param $out i32) (param $top i32) (param $bottom i32) (param $columns i32) (param $end i32) (param $below i32)
    (local $left i32) (local $weights v128) (local $w v128) (local $v v128)
    (local.set $v (i32x4.splat (local.get $below)))
    (local.set $w (i32x4.splat (i32.sub (i32.const 2048) (local.get $below))))
    (block $done
      (br_if $done (i32.ge_u (local.get $columns) (local.get $end)))
      (loop $next
        (local.set $left (i32.load (local.get $columns)))
        (local.set $weights (v128.load32_splat offset=4 (local.get $columns)))
        (v128.store32_lane 0 (local.get $out)
          (i8x16.narrow_i16x8_u
            (i16x8.narrow_i32x4_s
              (i32x4.shr_u
                (i32x4.add
                  (i32x4.add
                    ;; Red, green and blue of two neighbours side by side, as 16 bits: r0 r1 g0 g1 b0 b1.
                    (i32x4.mul (local.get $w)
                      (i32x4.dot_i16x8_s (local.get $weights)
                        (i8x16.shuffle 0 16 3 16 1 16 4 16 2 16 5 16 16 16 16 16
                          (v128.load64_zero (i32.add (local.get $top) (local.get $left))) (v128.const i32x4 0 0 0 0))))
                    (i32x4.mul (local.get $v)
                      (i32x4.dot_i16x8_s (local.get $weights)
                        (i8x16.shuffle 0 16 3 16 1 16 4 16 2 16 5 16 16 16 16 16
                          (v128.load64_zero (i32.add (local.get $bottom) (local.get $left))) (v128.const i32x4 0 0 0 0)))))
                  (i32x4.splat (i32.const 2097152)))
                (i32.const 22))
              (v128.const i32x4 0 0 0 0))
            (v128.const i32x4 0 0 0 0)))
        (local.set $out (i32.add (local.get $out) (i32.const 3)))
        (local.set $columns (i32.add (local.get $columns) (i32.const 8)))
        (br_if $next (i32.lt_u (local.get $columns) (local.get $end))))))

  ;; Every pixel from $at to $end through a matrix of colours (i16, in 2^12ths) and offsets (i32, as many), in place. $matrix has the weights
  ;; of red and green for each of the three outputs (and a fourth, unused), then those of blue and of nothing, then the offsets. Four
  ;; pixels at a time: at most three beyond the end are changed as well, and four bytes more are read.
  (func (export "recolour") (param $at i32) (param $end i32) (param $matrix i32)
    (local $redGreen v128) (local $blue v128) (local $offset v128)
    (local $pixels v128) (local $p0 v128) (local $p1 v128) (local $p2 v128) (local $p3 v128)
    (local.set $redGreen (v128.load (local.get $matrix)))
    (local.set $blue (v128.load offset=16 (local.get $matrix)))
    (local.set $offset (v128.load offset=32 (local.get $matrix)))
    (block $done
      (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
      (loop $next
        (local.set $pixels (v128.load (local.get $at)))
        (local.set $p0 (i32x4.shr_s (i32x4.add (local.get $offset) (i32x4.add
          (i32x4.dot_i16x8_s (local.get $redGreen)
            (i8x16.shuffle 0 16 1 16 0 16 1 16 0 16 1 16 0 16 1 16 (local.get $pixels) (v128.const i32x4 0 0 0 0)))
          (i32x4.dot_i16x8_s (local.get $blue)
            (i8x16.shuffle 2 16 16 16 2 16 16 16 2 16 16 16 2 16 16 16 (local.get $pixels) (v128.const i32x4 0 0 0 0)))))
          (i32.const 12)))
        (local.set $p1 (i32x4.shr_s (i32x4.add (local.get $offset) (i32x4.add
          (i32x4.dot_i16x8_s (local.get $redGreen)
            (i8x16.shuffle 3 16 4 16 3 16 4 16 3 16 4 16 3 16 4 16 (local.get $pixels) (v128.const i32x4 0 0 0 0)))
          (i32x4.dot_i16x8_s (local.get $blue)
            (i8x16.shuffle 5 16 16 16 5 16 16 16 5 16 16 16 5 16 16 16 (local.get $pixels) (v128.const i32x4 0 0 0 0)))))
          (i32.const 12)))
        (local.set $p2 (i32x4.shr_s (i32x4.add (local.get $offset) (i32x4.add
          (i32x4.dot_i16x8_s (local.get $redGreen)
            (i8x16.shuffle 6 16 7 16 6 16 7 16 6 16 7 16 6 16 7 16 (local.get $pixels) (v128.const i32x4 0 0 0 0)))
          (i32x4.dot_i16x8_s (local.get $blue)
            (i8x16.shuffle 8 16 16 16 8 16 16 16 8 16 16 16 8 16 16 16 (local.get $pixels) (v128.const i32x4 0 0 0 0)))))
          (i32.const 12)))
        (local.set $p3 (i32x4.shr_s (i32x4.add (local.get $offset) (i32x4.add
          (i32x4.dot_i16x8_s (local.get $redGreen)
            (i8x16.shuffle 9 16 10 16 9 16 10 16 9 16 10 16 9 16 10 16 (local.get $pixels) (v128.const i32x4 0 0 0 0)))
          (i32x4.dot_i16x8_s (local.get $blue)
            (i8x16.shuffle 11 16 16 16 11 16 16 16 11 16 16 16 11 16 16 16 (local.get $pixels) (v128.const i32x4 0 0 0 0)))))
          (i32.const 12)))
        (local.set $pixels
          (i8x16.narrow_i16x8_u
            (i16x8.narrow_i32x4_s (local.get $p0) (local.get $p1))
            (i16x8.narrow_i32x4_s (local.get $p2) (local.get $p3))))
        (local.set $pixels (i8x16.shuffle 0 1 2 4 5 6 8 9 10 12 13 14 0 0 0 0 (local.get $pixels) (local.get $pixels)))
        (v128.store64_lane 0 (local.get $at) (local.get $pixels))
        (v128.store32_lane offset=8 2 (local.get $at) (local.get $pixels))
        (local.set $at (i32.add (local.get $at) (i32.const 12)))
        (br_if $next (i32.lt_u (local.get $at) (local.get $end)))))))
