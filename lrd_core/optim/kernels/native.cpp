// Algorithm 1 of arXiv 1912.00144 in one pass over memory; the mask is hashed where it is used.
// Called by native.py, which documents the build and the arguments.

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace {

// A tensor's positions in its mask. In memory a tensor is rows of `channels` elements. A contiguous
// tensor is one row; in a row of a channels-last tensor, positions are `places` apart.
struct Place {
  int64_t elements, channels, places, first, key1, key2, greatest, any;
};

struct Mask {
  uint32_t key1, key2;
  int32_t greatest, any;

  bool keeps(uint32_t x) const {  // lrd_core/optim/mask.py
    x ^= key1;
    x = (x ^ (x >> 16)) * 0x7FEB352Du;
    x ^= x >> 15;
    x = (x + key2) * 0x846CA68Bu;
    x = (x ^ (x >> 16)) * 0x9E3779B1u;
    x ^= x >> 15;
    return (int32_t(x) <= greatest) & any;
  }
};

template <class T>
struct Scalars {
  T rate, decay, first, first_rest, second, second_rest, eps, unbias_first, unbias_second, rectifier;

  explicit Scalars(const double* x)
      : rate(x[0]), decay(x[1]), first(x[2]), first_rest(x[3]), second(x[4]), second_rest(x[5]),
        eps(x[6]), unbias_first(x[7]), unbias_second(x[8]), rectifier(x[9]) {}
};

// --- the rules: ΔW from w, its gradient g, and the moments, which are updated ---------------------

struct SGDM {
  static constexpr int moments = 1;
  template <class T>
  static T step(const Scalars<T>& s, T w, T g, T& m, T&, T&) {
    // Without momentum nothing is accumulated, as in torch: 0 times infinity would be NaN, and a
    // momentum that is raised later starts from the gradient at that step.
    T past = s.first > 0 ? s.first * m : T(0);
    T phi = past + (g + s.decay * w);
    m = s.first > 0 ? phi : m;
    return s.rate * phi;
  }
};

struct RMSprop {
  static constexpr int moments = 1;
  template <class T>
  static T step(const Scalars<T>& s, T w, T g, T& v, T&, T&) {
    g += s.decay * w;
    v = s.second * v + s.second_rest * g * g;
    return s.rate * g / (std::sqrt(v) + s.eps);
  }
};

template <class T>
void accumulate(const Scalars<T>& s, T w, T g, T& m, T& v) {
  g += s.decay * w;
  // From the nearer end, as torch.lerp: if little of m remains, its rounding must not hide g.
  bool near = s.first_rest < T(0.5);
  m = (near ? m : g) + (g - m) * (near ? s.first_rest : s.first_rest - 1);
  v = s.second * v + s.second_rest * g * g;
}

struct Adam {
  static constexpr int moments = 2;
  template <class T>
  static T step(const Scalars<T>& s, T w, T g, T& m, T& v, T&) {
    accumulate(s, w, g, m, v);
    return s.rate * s.unbias_first * m / (std::sqrt(v) * s.unbias_second + s.eps);
  }
};

struct AMSGrad {
  static constexpr int moments = 3;
  template <class T>
  static T step(const Scalars<T>& s, T w, T g, T& m, T& v, T& v_max) {
    accumulate(s, w, g, m, v);
    v_max = (v > v_max) | (v != v) ? v : v_max;  // as torch.maximum, which keeps NaN
    return s.rate * s.unbias_first * m / (std::sqrt(v_max) * s.unbias_second + s.eps);
  }
};

struct RAdam {
  static constexpr int moments = 2;
  template <class T>
  static T step(const Scalars<T>& s, T w, T g, T& m, T& v, T&) {
    accumulate(s, w, g, m, v);
    T plain = s.rate * s.unbias_first * m;
    T rectified = plain * s.rectifier / ((std::sqrt(v) + s.eps) * s.unbias_second);
    return s.rectifier > 0 ? rectified : plain;
  }
};

// --- loops over a row, which the compiler turns into vectors ----------------------------------------

// The moments are separate locals because a loop over an array of them is not vectorised.
template <class Rule, class T>
void move(T* __restrict w, const T* __restrict g, T* __restrict first, T* __restrict second,
          T* __restrict third, int n, uint32_t position, uint32_t stride, Scalars<T> s, Mask mask) {
#pragma omp simd
  for (int i = 0; i < n; i++) {
    T old = w[i], a = first[i], b = 0, c = 0;
    if (Rule::moments > 1) b = second[i];
    if (Rule::moments > 2) c = third[i];
    T step = Rule::template step<T>(s, old, g[i], a, b, c);
    first[i] = a;
    if (Rule::moments > 1) second[i] = b;
    if (Rule::moments > 2) third[i] = c;
    w[i] = mask.keeps(position + uint32_t(i) * stride) ? old - step : old;  // eq. 2
  }
}

template <class T>
void put_back(T* __restrict now, const T* __restrict old, int n, uint32_t position,
              uint32_t stride, Mask mask) {
#pragma omp simd
  for (int i = 0; i < n; i++)
    now[i] = mask.keeps(position + uint32_t(i) * stride) ? now[i] : old[i];
}

// --- all tensors at once ------------------------------------------------------------------------------

constexpr int64_t WORTH_A_THREAD = 1 << 15;  // elements: about 10 µs of work, the cost of starting a thread

// Each thread takes one contiguous share of all elements, in memory order, and passes it row by row
// to `row` (tensor, first element, count, position, stride, mask).
template <class Row>
void everywhere(int64_t count, const Place* places, int threads, Row row) {
  int64_t total = 0;
  for (int64_t t = 0; t < count; t++) total += places[t].elements;
  threads = int(std::clamp<int64_t>(total / WORTH_A_THREAD, 1, threads));
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (threads > 1)
  for (int thread = 0; thread < threads; thread++) {
    int64_t from = total * thread / threads, to = total * (thread + 1) / threads;
    for (int64_t t = 0, start = 0; t < count && start < to; start += places[t++].elements) {
      const Place& p = places[t];
      Mask mask{uint32_t(p.key1), uint32_t(p.key2), int32_t(p.greatest), int32_t(p.any)};
      int64_t at = std::max<int64_t>(from - start, 0), end = std::min(to - start, p.elements);
      while (at < end) {
        int64_t line = at / p.channels, column = at % p.channels;
        int64_t n = std::min({end - at, p.channels - column, int64_t(1) << 30});
        int64_t position = p.first + line / p.places * p.places * p.channels +
                           column * p.places + line % p.places;
        row(t, at, int(n), uint32_t(position), uint32_t(p.places), mask);
        at += n;
      }
    }
  }
}

template <class Rule, class T>
void move_all(int64_t count, const int64_t* addresses, const Place* places, const double* scalars,
              int threads) {
  everywhere(count, places, threads,
             [=](int64_t t, int64_t at, int n, uint32_t position, uint32_t stride, Mask mask) {
               auto tensor = [=](int k) { return reinterpret_cast<T*>(addresses[5 * t + k]) + at; };
               move<Rule, T>(tensor(0), tensor(1), tensor(2), tensor(3), tensor(4), n, position,
                             stride, Scalars<T>(scalars + 10 * t), mask);
             });
}

template <class T>
void put_back_all(int64_t count, const int64_t* addresses, const Place* places, int threads) {
  everywhere(count, places, threads,
             [=](int64_t t, int64_t at, int n, uint32_t position, uint32_t stride, Mask mask) {
               auto tensor = [=](int k) { return reinterpret_cast<T*>(addresses[2 * t + k]) + at; };
               put_back<T>(tensor(0), tensor(1), n, position, stride, mask);
             });
}

using Step = void (*)(int64_t, const int64_t*, const Place*, const double*, int);
constexpr Step STEPS[5][2] = {
    {move_all<SGDM, float>, move_all<SGDM, double>},
    {move_all<RMSprop, float>, move_all<RMSprop, double>},
    {move_all<Adam, float>, move_all<Adam, double>},
    {move_all<AMSGrad, float>, move_all<AMSGrad, double>},
    {move_all<RAdam, float>, move_all<RAdam, double>},
};

using Restore = void (*)(int64_t, const int64_t*, const Place*, int);
constexpr Restore RESTORES[4] = {put_back_all<uint8_t>, put_back_all<uint16_t>,
                                 put_back_all<uint32_t>, put_back_all<uint64_t>};

}  // namespace

extern "C" void lrd_step(int rule, int is_double, int64_t count, const int64_t* addresses,
                         const Place* places, const double* scalars, int threads) {
  STEPS[rule][is_double](count, addresses, places, scalars, threads);
}

extern "C" void lrd_restore(int log2_bytes, int64_t count, const int64_t* addresses,
                            const Place* places, int threads) {
  RESTORES[log2_bytes](count, addresses, places, threads);
}
