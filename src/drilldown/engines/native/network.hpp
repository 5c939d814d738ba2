// Makes a network with layouts in memory from a list of layers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

#include "convolution.hpp"
#include "layer.hpp"
#include "layout.hpp"
#include "pointwise.hpp"
#include "pooling.hpp"

namespace drilldown {

// A layer as the caller describes it: the block notation in numbers.
struct Spec {
  enum Kind : int32_t { CONV, NORM, RELU, MAX_POOL, AVERAGE_POOL, GLOBAL_AVERAGE, DROPOUT, FLATTEN, LINEAR };
  int32_t kind;
  int32_t out, kernel, stride, pad, groups, bias;  // of a convolution; a linear layer has `out` as well
  int32_t size;                                    // of the window of a pool
  double probability;                              // of dropout
};

class Network {
 public:
  std::vector<std::unique_ptr<Layer>> layers;
  int parameters = 0, buffers = 0;

  Network(const Spec* specs, int count, int height, int width) {
    Layout shape = Layout::plain(1, height, width);
    for (int i = 0; i < count;) {
      std::unique_ptr<Layer> layer;
      const Spec& spec = specs[i];
      const int first = i;
      switch (spec.kind) {
        case Spec::FLATTEN:
          if ((i + 1 < count && specs[i + 1].kind == Spec::LINEAR) || i + 1 == count) {
            ++i;  // `Linear` reads images, and scores are single pixels
            continue;
          }
          layer = std::make_unique<Flatten>(shape);
          break;
        case Spec::CONV:
          layer = std::make_unique<Convolution>(shape, spec.out, spec.kernel, spec.stride, spec.pad, spec.groups,
                                                spec.bias);
          break;
        case Spec::LINEAR: layer = std::make_unique<Linear>(shape, spec.out); break;
        case Spec::MAX_POOL: layer = std::make_unique<MaxPool>(shape, spec.size); break;
        case Spec::AVERAGE_POOL: layer = std::make_unique<AveragePool>(shape, spec.size, spec.size); break;
        case Spec::GLOBAL_AVERAGE: layer = std::make_unique<AveragePool>(shape, shape.height, shape.width); break;
        default: layer = pointwise(shape, specs, count, i);
      }
      if (spec.kind != Spec::NORM && spec.kind != Spec::RELU && spec.kind != Spec::DROPOUT) ++i;
      layer->first_spec = first, layer->specs = i - first;
      layer->first_parameter = parameters, parameters += layer->parameters;
      layer->first_buffer = buffers, buffers += layer->buffers;
      shape = layer->out;
      layers.push_back(std::move(layer));
    }
    lay_out();
  }

 private:
  // One layer for the relu, norm, relu and dropout that begin at `i` in this order; each may be missing. Moves `i`
  // behind them.
  static std::unique_ptr<Layer> pointwise(const Layout& shape, const Spec* specs, int count, int& i) {
    const auto take = [&](int kind) { return i < count && specs[i].kind == kind ? (++i, true) : false; };
    const bool norm_follows = i + 1 < count && specs[i + 1].kind == Spec::NORM;
    const bool before = norm_follows && take(Spec::RELU);
    const bool norm = take(Spec::NORM), after = take(Spec::RELU), dropout = take(Spec::DROPOUT);
    const double probability = dropout ? specs[i - 1].probability : 0;
    const auto make = [&](auto before, auto norm, auto after, auto dropout) -> std::unique_ptr<Layer> {
      return std::make_unique<Pointwise<before, norm, after, dropout>>(shape, probability, i - 1);
    };
    constexpr std::true_type yes;
    constexpr std::false_type no;
    const auto with_dropout = [&](auto before, auto norm, auto after) {
      return dropout ? make(before, norm, after, yes) : make(before, norm, after, no);
    };
    const auto with_after = [&](auto before, auto norm) {
      return after ? with_dropout(before, norm, yes) : with_dropout(before, norm, no);
    };
    return norm ? (before ? with_after(yes, yes) : with_after(no, yes)) : with_after(no, no);
  }

  // Each layer chooses the layouts that it reads: of its input, and of the gradient of its output. Its neighbours write
  // to them.
  void lay_out() {
    for (size_t i = 0; i < layers.size(); ++i) {
      layers[i]->in = layers[i]->wanted_input();
      layers[i]->out_gradient = layers[i]->wanted_gradient();
    }
    for (size_t i = 0; i < layers.size(); ++i) {
      const bool last = i + 1 == layers.size();
      layers[i]->out = last ? Layout::plain(layers[i]->out.channels, layers[i]->out.height, layers[i]->out.width)
                            : layers[i + 1]->in;
      const Layout& in = layers[i]->in;
      layers[i]->in_gradient = i ? layers[i - 1]->out_gradient : Layout::plain(in.channels, in.height, in.width);
    }
    if (layers.back()->out.height != 1 || layers.back()->out.width != 1)
      throw std::invalid_argument("the last layer does not give one score per class");
  }
};

}  // namespace drilldown
