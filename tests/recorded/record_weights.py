"""Record weights files as the frameworks write them: run with TensorFlow 2.4, 2.12 and Keras 3, each writes its own.

Writes weights/nested_<version>.* beside this file: a model with a model inside, a PReLU and a layer of another class.
Array number i of ``model.get_weights()`` counts up from i in steps of 1/16.
"""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

HERE = Path(__file__).parent / "weights"
layers, models = tf.keras.layers, tf.keras.models
VERSION = ".".join(getattr(tf.keras, "__version__", tf.__version__).split(".")[:2])
NAME = {"2.4": "2.4", "2.12": "2.12"}.get(VERSION, "3")


def nested():
    inner = [layers.Conv3D(2, (1, 2, 3), name="in_a"), layers.Conv3D(2, 1, use_bias=False, name="in_b")]
    block = tf.keras.Sequential([tf.keras.Input((4, 4, 4, 3)), *inner], name="block")
    x = tf.keras.Input((4, 4, 4, 1), name="volume")
    y = layers.PReLU(shared_axes=[1, 2, 3], name="act")(layers.Conv3D(3, 1, name="first")(x))
    y = layers.BatchNormalization(name="norm")(y)
    return tf.keras.Model(x, layers.Conv3D(1, 2, name="last")(block(y)), name="nested")


model = nested()
model.set_weights([(np.arange(w.size) / 16 + i).reshape(w.shape) for i, w in enumerate(model.get_weights())])
if NAME == "2.4":
    model.save(HERE / "nested_2.4.h5", include_optimizer=False)
    model.save_weights(HERE / "nested_2.4_weights.h5")
elif NAME == "2.12":
    model.save(HERE / "nested_2.12.keras", save_format="keras_v3")
else:
    for suffix in (".keras", ".h5"):
        model.save(HERE / f"nested_3{suffix}")
    model.save_weights(HERE / "nested_3.weights.h5")
print(sys.version.split()[0], tf.__version__, [w.shape for w in model.get_weights()])
