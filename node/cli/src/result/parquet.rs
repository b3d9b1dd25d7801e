//! Rows as Parquet: every column may be null; values of mixed kinds are JSON text.

use std::io::Write;
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, Type as PhysicalType};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;
use serde_json::value::RawValue;

use super::shape::{Kind, Shape};
use crate::object::Object;

const ROWS_PER_GROUP: usize = 10_000;

/// A Parquet file in the making.
pub struct Writer<W: Write + Send> {
    file: SerializedFileWriter<W>,
    columns: Vec<(String, Kind)>,
    rows: Vec<Object>,
}

impl<W: Write + Send> Writer<W> {
    /// Starts a file with these columns.
    pub fn new(file: W, shape: Shape) -> Result<Self, ParquetError> {
        let fields =
            shape.columns.iter().map(|(name, kind)| field(name, *kind).map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
        let schema = Type::group_type_builder("schema").with_fields(fields).build()?;
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        Ok(Self {
            file: SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties))?,
            columns: shape.columns,
            rows: Vec::new(),
        })
    }

    /// Adds a row.
    pub fn write(&mut self, row: Object) -> Result<(), ParquetError> {
        self.rows.push(row);
        if self.rows.len() == ROWS_PER_GROUP {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes what is left and the footer; gives the file back to be synced.
    pub fn finish(mut self) -> Result<W, ParquetError> {
        self.flush()?;
        self.file.into_inner()
    }

    fn flush(&mut self) -> Result<(), ParquetError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.rows);
        let mut group = self.file.next_row_group()?;
        for (name, kind) in &self.columns {
            let Some(column) = group.next_column()? else {
                break;
            };
            let values = rows.iter().map(|row| row.get(name).map(RawValue::get).filter(|text| *text != "null"));
            write_column(column, *kind, values)?;
        }
        group.close()?;
        Ok(())
    }
}

fn field(name: &str, kind: Kind) -> Result<Type, ParquetError> {
    let (physical, logical) = match kind {
        Kind::Boolean => (PhysicalType::BOOLEAN, None),
        Kind::Integer => (PhysicalType::INT64, None),
        Kind::Number => (PhysicalType::DOUBLE, None),
        Kind::Text | Kind::Empty => (PhysicalType::BYTE_ARRAY, Some(LogicalType::String)),
        Kind::Json => (PhysicalType::BYTE_ARRAY, Some(LogicalType::Json)),
    };
    Type::primitive_type_builder(name, physical)
        .with_repetition(Repetition::OPTIONAL)
        .with_logical_type(logical)
        .build()
}

fn write_column<'a>(
    column: SerializedColumnWriter<'_>,
    kind: Kind,
    values: impl Iterator<Item = Option<&'a str>>,
) -> Result<(), ParquetError> {
    match kind {
        Kind::Boolean => write::<BoolType>(column, values, |text| Some(text == "true")),
        Kind::Integer => write::<Int64Type>(column, values, |text| text.parse().ok()),
        Kind::Number => write::<DoubleType>(column, values, |text| text.parse().ok()),
        Kind::Text | Kind::Empty => write::<ByteArrayType>(column, values, |text| {
            let text: String = serde_json::from_str(text).ok()?;
            Some(ByteArray::from(text.into_bytes()))
        }),
        Kind::Json => write::<ByteArrayType>(column, values, |text| Some(ByteArray::from(text.as_bytes().to_vec()))),
    }
}

fn write<'a, T: DataType>(
    mut column: SerializedColumnWriter<'_>,
    values: impl Iterator<Item = Option<&'a str>>,
    parse: impl Fn(&str) -> Option<T::T>,
) -> Result<(), ParquetError> {
    let parsed: Vec<Option<T::T>> = values.map(|text| text.and_then(&parse)).collect();
    let levels: Vec<i16> = parsed.iter().map(|value| i16::from(value.is_some())).collect();
    let present: Vec<T::T> = parsed.into_iter().flatten().collect();
    column.typed::<T>().write_batch(&present, Some(&levels), None)?;
    column.close()
}
