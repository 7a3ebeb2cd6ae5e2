"""The three networks, as diffusers and transformers classes, and the schedule: one place for every width and depth."""

from common import need

torch, diffusers, transformers = need("torch", "diffusers", "transformers")
ResnetBlock2D = need("diffusers.models.resnet").ResnetBlock2D

LATENT = 4


def make_vae():
    """AutoencoderKL, 64×64×3 ↔ 16×16×4. Every residual branch starts at zero, so that colours pass from the first step."""
    vae = diffusers.AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(32, 32, 64),
        layers_per_block=1,
        latent_channels=LATENT,
        # At least four channels a group: with one, the norm would take out each channel's mean, that is, the colour.
        norm_num_groups=8,
        sample_size=64,
        scaling_factor=1.0,
        force_upcast=False,
    )
    for module in vae.modules():
        if isinstance(module, ResnetBlock2D):
            torch.nn.init.zeros_(module.conv2.weight)
    # The posterior starts narrow (variance e^-5): otherwise unit noise drowns the latents for the first few hundred steps.
    with torch.no_grad():
        vae.quant_conv.weight[LATENT:] = 0
        vae.quant_conv.bias[LATENT:] = -5
    return vae


def make_text_encoder(ids):
    """CLIPTextModel, causal over 77 tokens, padded with the end token and unmasked as in Stable Diffusion."""
    return transformers.CLIPTextModel(
        transformers.CLIPTextConfig(
            vocab_size=ids["vocab"],
            hidden_size=128,
            intermediate_size=512,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=77,
            hidden_act="quick_gelu",
            projection_dim=128,
            bos_token_id=ids["bos"],
            eos_token_id=ids["eos"],
            pad_token_id=ids["eos"],
        )
    )


def make_unet():
    """UNet2DConditionModel at 16×16, 8×8, 4×4. Text enters at the two smaller sizes, where most parameters sit: they are
    cheap there, and at 16×16 attention would cost more than all convolutions together."""
    return diffusers.UNet2DConditionModel(
        sample_size=16,
        in_channels=LATENT,
        out_channels=LATENT,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        mid_block_type="UNetMidBlock2DCrossAttn",
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(64, 96, 192),
        layers_per_block=1,
        cross_attention_dim=128,
        # The number of heads, by diffusers' historical misnomer.
        attention_head_dim=4,
        norm_num_groups=16,
    )


def make_scheduler():
    """Stable Diffusion 1.5's schedule, as DDIM."""
    return diffusers.DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="epsilon",
        timestep_spacing="leading",
        steps_offset=1,
        clip_sample=False,
        set_alpha_to_one=False,
    )
