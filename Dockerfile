# Corral in one image: `docker build -t corral .`
# The web server is the default command; the worker is the same image with `python manage.py worker`.

FROM python:3.12-slim AS packages
COPY requirements.lock .
# Into a folder of its own, so that neither pip's cache nor its temporary files reach the image.
RUN python -m venv /opt/corral-env \
    && /opt/corral-env/bin/pip install --quiet --no-cache-dir --require-hashes --only-binary :all: -r requirements.lock

FROM python:3.12-slim
ENV PATH=/opt/corral-env/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN useradd --system --uid 10001 --no-create-home corral \
    && install --directory --owner corral /data
COPY --from=packages /opt/corral-env /opt/corral-env
WORKDIR /corral
COPY . .
# Needs no secrets. The files belong to root: the running process cannot change its own code.
RUN python -m compileall -q dashboard && python manage.py collectstatic --noinput --verbosity 0

USER corral
# Only used without a DATABASE_URL of one's own. Everything else may be read-only.
ENV DATABASE_URL=sqlite:////data/corral.sqlite3
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["python", "-m", "dashboard.probe"]
CMD ["sh", "-c", "python manage.py migrate --noinput && exec python manage.py serve --host 0.0.0.0"]
