from django.db import migrations, models


class Migration(migrations.Migration):
    """One index of all turns instead of two of live ones, which SQLite never used."""

    dependencies = [("dashboard", "0002_turns")]

    operations = [
        migrations.RemoveIndex("turn", "turn_queue"),
        migrations.RemoveIndex("turn", "turn_person"),
        migrations.AddIndex("turn", models.Index(fields=["state", "asked_at"], name="turn_state")),
    ]
