"""Train the small network in denoiser.keras: run with Keras 3, ``pip install tensorflow nibabel``, in this folder.

It learns to take Gaussian noise off the head in mni152_t1_2mm.nii.gz. It is trained on values from 0 to 1; the
scale is then put into the first and the last kernel, so that it takes a volume as it is stored.
"""

import keras
import nibabel as nib
import numpy as np

SCALE, NOISE, SIDE, STEPS, BATCH = 255.0, 20.0, 24, 1500, 8

head = np.asarray(nib.load("mni152_t1_2mm.nii.gz").dataobj, np.float32) / SCALE
random = np.random.default_rng(7)
keras.utils.set_random_seed(7)

model = keras.Sequential(
    [
        keras.layers.InputLayer(shape=(None, None, None, 1)),
        keras.layers.Conv3D(8, 3, padding="same", activation="relu", name="widen"),
        keras.layers.Conv3D(8, 3, padding="same", activation="relu", name="mix"),
        keras.layers.Conv3D(1, 3, padding="same", name="narrow"),
    ],
    name="denoiser",
)
model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(3e-3, STEPS)), "mse")

losses = []
for _ in range(STEPS):
    corners = [random.integers(0, n - SIDE, BATCH) for n in head.shape]
    clean = np.stack([head[a : a + SIDE, b : b + SIDE, c : c + SIDE] for a, b, c in zip(*corners, strict=True)])
    noisy = clean + random.normal(0, NOISE / SCALE, clean.shape).astype(np.float32)
    losses.append(model.train_on_batch(noisy[..., None], clean[..., None]))
print("mean squared error, of 0 to 255:", np.mean(losses[-100:]) * SCALE**2, "of the noise:", NOISE**2)

for name, kernel_scale, bias_scale in (("widen", 1 / SCALE, 1), ("narrow", SCALE, SCALE)):
    kernel, bias = model.get_layer(name).get_weights()
    model.get_layer(name).set_weights([kernel * kernel_scale, bias * bias_scale])
model.compile()
model.save("denoiser.keras")
