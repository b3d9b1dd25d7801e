"""What leaves the driver: program, metric and settings as one pickle, examples as rows, secrets apart from both."""

from dspex.shipping.batch import BatchShipment, ship_batch
from dspex.shipping.pickling import Unshippable
from dspex.shipping.shipment import Shipment, ship

__all__ = ["BatchShipment", "Shipment", "Unshippable", "ship", "ship_batch"]
