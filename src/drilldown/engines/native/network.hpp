// Makes a network with layouts in memory from a list of layers.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

#include "activation.hpp"
#include "convolution.hpp"
#include "functions.hpp"
#include "layer.hpp"
#include "layout.hpp"
#include "norm_pool.hpp"
#include "pointwise.hpp"
#include "pooling.hpp"
#include "rounding.hpp"
#include "sum.hpp"

namespace drilldown {

// A layer as the caller describes it: the block notation in numbers.
struct Spec {
  enum Kind : int32_t {
    CONV,
    NORM,
    RELU,
    MAX_POOL,
    AVERAGE_POOL,
    GLOBAL_AVERAGE,
    DROPOUT,
    FLATTEN,
    LINEAR,
    LEAKY,
    PRELU,
    SILU,
    GELU,
    HARD_SWISH,
    CHANNEL_DROPOUT,
    SUM
  };
  int32_t kind;
  int32_t out;                            // channels of a convolution, or features of a linear layer
  int32_t kernel, stride, pad, dilation;  // of a convolution; a pool has the first three
  int32_t groups, bias;                   // of a convolution
  int32_t scaled;                         // whether a norm learns a scale
  int32_t input;                          // the entry of the list whose output it reads; −1: the images
  int32_t other;                          // the second entry that a sum reads
  int32_t shares;                         // the earlier entry whose weights it uses; −1: its own
  int32_t bits, one_step;                 // how the weights of CONV or LINEAR are rounded; 0 bits: not at all
  double number;                          // the probability of dropout, or the slope of LEAKY
};

class Network {
 public:
  std::vector<std::unique_ptr<Layer>> layers;
  std::vector<Layout> slots;  // slot 0 holds the images, and slot l + 1 what layer l computes
  int parameters = 0, buffers = 0;

  Network(const Spec* list, int count, const Layout& images) : specs(list, list + count), places(count) {
    slots.push_back(images);
    for (int i = 0; i < count;) {
      const int first = i, source = place(specs[i].input);
      if (is_left_out(i)) {
        places[i++] = source;
        continue;
      }
      std::unique_ptr<Layer> layer = make(slots[source], i);
      layer->source = source;
      layer->first_spec = first, layer->specs = i - first;
      give_parameters(*layer, specs[first].shares);
      std::fill(places.begin() + first, places.begin() + i, int(slots.size()));
      slots.push_back(layer->out);
      layers.push_back(std::move(layer));
    }
    lay_out();
  }

 private:
  std::vector<Spec> specs;
  std::vector<int> places;  // [entry of the list]: the slot with its output

  int place(int entry) const { return entry < 0 ? 0 : places[entry]; }

  // `Linear` reads images, and scores are single pixels: before the one and as the other, `Flatten` changes nothing.
  bool is_left_out(int i) const {
    return specs[i].kind == Spec::FLATTEN && std::all_of(specs.begin() + i + 1, specs.end(), [&](const Spec& reader) {
             return reader.input != i || reader.kind == Spec::LINEAR;
           });
  }

  // Whether entry `i` is the only reader of the entry before it, so that one layer can execute both.
  bool follows(int i) const {
    return specs[i].input == i - 1 && std::all_of(specs.begin() + i + 1, specs.end(), [&](const Spec& reader) {
             return reader.input != i - 1 && !(reader.kind == Spec::SUM && reader.other == i - 1);
           });
  }

  void give_parameters(Layer& layer, int shares) {
    layer.first_buffer = buffers, buffers += layer.buffers;
    if (shares < 0) {
      layer.first_parameter = parameters, parameters += layer.parameters;
      return;
    }
    Layer& owner = *layers[places[shares] - 1];
    layer.first_parameter = owner.first_parameter;
    layer.owner = false, layer.collected.resize(layer.parameters);
    owner.twins.push_back(&layer);
  }

  // Makes the layer that begins at entry `i`, and moves `i` behind the entries that it executes.
  std::unique_ptr<Layer> make(const Layout& shape, int& i) const {
    const Spec& spec = specs[i];
    if (spec.kind == Spec::NORM || spec.kind == Spec::RELU || spec.kind == Spec::DROPOUT) return pointwise(shape, i);
    const auto activation = [&](auto function) -> std::unique_ptr<Layer> {
      return std::make_unique<Pointwise<decltype(function), false>>(shape, function, 0, 0);
    };
    const int number = i++;
    const Rounding rounding{spec.bits, spec.one_step != 0};
    switch (spec.kind) {
      case Spec::CONV:
        return std::make_unique<Convolution>(shape, spec.out, spec.kernel, spec.stride, spec.pad, spec.dilation,
                                             spec.groups, spec.bias, rounding);
      case Spec::LINEAR: return std::make_unique<Linear>(shape, spec.out, rounding);
      case Spec::FLATTEN: return std::make_unique<Flatten>(shape);
      case Spec::MAX_POOL:
        if (spec.stride == spec.kernel && !spec.pad) return std::make_unique<MaxPool>(shape, spec.kernel);
        return std::make_unique<OverlappingMaxPool>(shape, Window{spec.kernel, spec.stride, spec.pad});
      case Spec::AVERAGE_POOL: return std::make_unique<AveragePool>(shape, Window{spec.kernel, spec.stride, spec.pad});
      case Spec::GLOBAL_AVERAGE: return std::make_unique<AveragePool>(shape);
      case Spec::LEAKY: return activation(Leaky{float(spec.number)});
      case Spec::SILU: return activation(Silu{});
      case Spec::GELU: return activation(Gelu{});
      case Spec::HARD_SWISH: return activation(HardSwish{});
      case Spec::PRELU: return std::make_unique<PRelu>(shape);
      case Spec::CHANNEL_DROPOUT: return std::make_unique<ChannelDropout>(shape, spec.number, number);
      case Spec::SUM: {
        const bool has_relu = i < int(specs.size()) && specs[i].kind == Spec::RELU && follows(i);
        i += has_relu;
        return std::make_unique<Sum>(shape, place(spec.other), has_relu);
      }
      default: throw std::invalid_argument("the library does not know a layer of the network");
    }
  }

  // Whether entry `i` is of this kind, and can be executed by a layer that begins at `first`.
  bool joins(int i, Spec::Kind kind, int first) const {
    return i < int(specs.size()) && specs[i].kind == kind && (i == first || follows(i));
  }

  // One layer for the relu, norm, function, and dropout or pool that begin at `i` in this order; each may be missing.
  // Moves `i` behind them.
  std::unique_ptr<Layer> pointwise(const Layout& shape, int& i) const {
    const int first = i;
    const auto take = [&](Spec::Kind kind) { return joins(i, kind, first) && ++i; };
    const bool before = joins(i, Spec::RELU, first) && joins(i + 1, Spec::NORM, first) && ++i;
    const bool norm = take(Spec::NORM), scaled = norm && specs[i - 1].scaled;
    const auto pool_follows = [&] {
      return joins(i, Spec::MAX_POOL, first) && specs[i].kernel == 2 && specs[i].stride == 2 && !specs[i].pad;
    };
    const auto with_dropout = [&](auto make) {
      if (!take(Spec::DROPOUT)) return make(std::false_type{}, 0.0);
      return make(std::true_type{}, specs[i - 1].number);
    };
    const auto with_norm = [&](auto function) -> std::unique_ptr<Layer> {
      using Function = decltype(function);
      if (!before && pool_follows() && ++i) return std::make_unique<NormPool<Function>>(shape, scaled, function);
      return with_dropout([&](auto dropout, double probability) -> std::unique_ptr<Layer> {
        if (before)
          return std::make_unique<NormPointwise<true, Function, dropout>>(shape, scaled, function, probability, i - 1);
        return std::make_unique<NormPointwise<false, Function, dropout>>(shape, scaled, function, probability, i - 1);
      });
    };
    const auto without_norm = [&](auto function) {
      return with_dropout([&](auto dropout, double probability) -> std::unique_ptr<Layer> {
        return std::make_unique<Pointwise<decltype(function), dropout>>(shape, function, probability, i - 1);
      });
    };
    if (!norm) return take(Spec::RELU) ? without_norm(Relu{}) : without_norm(Identity{});
    if (take(Spec::RELU)) return with_norm(Relu{});
    if (take(Spec::LEAKY)) return with_norm(Leaky{float(specs[i - 1].number)});
    if (take(Spec::HARD_SWISH)) return with_norm(HardSwish{});
    return with_norm(Identity{});
  }

  // Each layer chooses the layouts that it reads: of its input, and of the gradient of its output. Its neighbours write
  // to them. Of the gradients of a slot with several readers, the first that is computed is written, the others are
  // added to it.
  void lay_out() {
    const size_t depth = layers.size();
    for (const auto& layer : layers) {
      Layout& slot = slots[layer->source];
      const int border = std::max(slot.border, layer->wanted_input().border);
      slot = Layout::bordered(slot.channels, slot.height, slot.width, border);
    }
    for (size_t l = 0; l < depth; ++l) {
      layers[l]->in = slots[layers[l]->source], layers[l]->out = slots[l + 1];
      layers[l]->out_gradient = layers[l]->wanted_gradient();
    }
    const auto gradient = [&](int slot) { return slot ? layers[slot - 1]->out_gradient : slots[0]; };
    std::vector<bool> written(depth + 1);
    for (size_t l = depth; l--;) {
      Layer& layer = *layers[l];
      layer.adds = written[layer.source], written[layer.source] = true;
      layer.in_gradient = gradient(layer.source);
      if (Sum* sum = dynamic_cast<Sum*>(&layer)) {
        sum->other_adds = written[sum->other], written[sum->other] = true;
        sum->other_in = slots[sum->other], sum->other_gradient = gradient(sum->other);
      }
    }
    if (slots.back().height != 1 || slots.back().width != 1)
      throw std::invalid_argument("the last layer does not give one score per class");
  }
};

}  // namespace drilldown
